"""The test service is faithful: the real client works against it end to end."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest
import requests
from cloud.account import OPEN, PAID
from cloud.devices import snapshot
from cloud.faults import Fault
from cloud.server import CloudService
from cloud.service import API
from cloud.simulate import parts_of, sample
from cloud.small_jobs import CANARY, DEVICES, estimator, flip
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
)
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.fake_provider import FakeFez

OBSERVABLES = ["IIIZ", "IIZI", "IZZI", "ZIII", "XXYZ"]

pytest_plugins = ("cloud.fixtures",)
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:invalid value:RuntimeWarning")


def ansatz(num_qubits: int = 4) -> QuantumCircuit:
    angles = ParameterVector("angle", 2 * num_qubits)
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(angles[qubit], qubit)
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(num_qubits):
        circuit.rx(angles[num_qubits + qubit], qubit)
    return circuit


ROWS = np.random.default_rng(7).uniform(-np.pi, np.pi, (3, 8))


@pytest.fixture(scope="module")
def wanted() -> np.ndarray:
    """Return the true expectation values, (observables, rows)."""
    states = [Statevector(ansatz().assign_parameters(row)) for row in ROWS]
    return np.array([[state.expectation_value(SparsePauliOp(o)).real for state in states] for o in OBSERVABLES])


def isa_pub(backend: object, layout: list[int]) -> tuple:
    """Return a PUB of all observables and all rows, placed on some qubits of a device."""
    isa = transpile(ansatz(), backend, initial_layout=layout, optimization_level=1, seed_transpiler=5)
    return isa, [[SparsePauliOp(o).apply_layout(isa.layout)] for o in OBSERVABLES], ROWS


# The account and the devices.


def test_account_instances_and_usage(service: QiskitRuntimeService) -> None:
    plans = {instance["name"]: (instance["plan"], instance["pricing_type"]) for instance in service.instances()}
    assert plans == {"open-instance": ("open", "free"), "paid-instance": ("pay-as-you-go", "paygo")}
    assert service.active_instance() == PAID.crn
    assert not service.usage()["usage_limit_reached"]


def test_devices_look_like_the_snapshots(service: QiskitRuntimeService) -> None:
    assert [backend.name for backend in service.backends()] == list(DEVICES)
    ours, fake = service.backend("ibm_testfez"), FakeFez()
    assert ours.coupling_map.get_edges() == fake.coupling_map.get_edges()
    for name in ("cz", "sx", "measure"):
        errors = {qubits: ours.target[name][qubits].error for qubits in ours.target[name]}
        assert errors == {qubits: fake.target[name][qubits].error for qubits in fake.target[name]}
    chain = service.backend("ibm_testchain")
    assert chain.num_qubits == 5
    assert {tuple(sorted(edge)) for edge in chain.coupling_map.get_edges()} == {(q, q + 1) for q in range(4)}
    assert chain.status().operational and chain.status().status_msg == "active"


def test_least_busy_goes_by_the_queue(cloud: CloudService, service: QiskitRuntimeService) -> None:
    cloud.set_faults([Fault(route="jobs.create", effect="fate", outcome="Queued")])
    stuck = estimator(service.backend("ibm_testchain")).run([flip()])
    service = QiskitRuntimeService()
    assert service.backend("ibm_testchain").status().pending_jobs == 1
    assert service.least_busy().name == "ibm_testfez"
    assert service.least_busy(min_num_qubits=100).name == "ibm_testfez"
    stuck.cancel()
    cloud.set_device("ibm_testfez", "maintenance")
    assert QiskitRuntimeService().least_busy().name == "ibm_testchain"


@pytest.mark.parametrize(
    "variable, error", [("QISKIT_IBM_TOKEN", "valid API token"), ("QISKIT_IBM_INSTANCE", "does not have")]
)
def test_wrong_key_and_wrong_instance(
    cloud: CloudService, monkeypatch: pytest.MonkeyPatch, variable: str, error: str
) -> None:
    monkeypatch.setenv(variable, "crn:v1:bluemix:public:quantum-computing:us-east:a/1:no-such-instance::")
    with pytest.raises(Exception, match=error):
        QiskitRuntimeService()


def test_all_instances_and_an_instance_by_name(cloud: CloudService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment(instance=None).items():
        monkeypatch.setenv(name, value)
    assert QiskitRuntimeService().backend("ibm_testchain")._instance == OPEN.crn  # free ones come first
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", PAID.name)
    assert QiskitRuntimeService().active_instance() == PAID.crn


def test_without_credentials_there_is_401(cloud: CloudService) -> None:
    for header in ({}, {"Authorization": f"Bearer {CANARY}"}, {"Authorization": "apikey wrong"}):
        answer = requests.get(f"{cloud.url}{API}/backends", headers={"Service-CRN": PAID.crn} | header)
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == 1201
    good = {"Authorization": f"apikey {CANARY}"}
    assert requests.get(f"{cloud.url}{API}/backends", headers=good | {"Service-CRN": PAID.crn}).status_code == 200
    assert requests.get(f"{cloud.url}{API}/backends", headers=good | {"Service-CRN": "crn:x"}).status_code == 403


# The chip.


def test_parts_are_sampled_as_the_whole_circuit() -> None:
    """Random circuits in parts that do not interact, against the state vector of all of it."""
    rng, device = np.random.default_rng(3), snapshot("ibm_any", "FakeFez:6")
    for _ in range(5):
        circuit = QuantumCircuit(6, 6)
        angles = ParameterVector("a", 12)
        for step in range(12):
            qubit = int(rng.integers(6))
            circuit.rz(angles[step], qubit)
            circuit.sx(qubit)
            if step % 2 and (left := int(rng.choice([0, 1, 3, 4]))) != 2:
                circuit.cx(left, left + 1)
        order = rng.permutation(6)
        for qubit in range(6):
            circuit.measure(qubit, int(order[qubit]))
        assert sum(bool(part.reads) for part in parts_of(circuit)) >= 2
        values = rng.uniform(-3, 3, (2, 12))
        bits = sample(circuit, values, 20000, device, False, rng)["c"]
        for row, row_bits in zip(values, bits, strict=True):
            state = Statevector(circuit.remove_final_measurements(inplace=False).assign_parameters(row))
            truth = state.probabilities([int(np.flatnonzero(order == clbit)[0]) for clbit in range(6)])
            seen = np.bincount(row_bits @ (1 << np.arange(6)), minlength=64) / 20000
            assert np.abs(seen - truth).max() < 5 * np.sqrt(0.25 / 20000)


def test_errors_are_those_of_aer() -> None:
    """Large depolarizing and readout errors, against Aer's density matrix."""
    rng, device = np.random.default_rng(4), snapshot("ibm_any", "FakeFez:4")
    device.readout_errors[:] = [(0.02, 0.05), (0.0, 0.1), (0.03, 0.0), (0.01, 0.02)]
    model = NoiseModel()
    for name, qubits in list(device.gate_errors):
        device.gate_errors[name, qubits] = infidelity = {"cz": 0.1, "sx": 0.04}.get(name, 0.0)
        if infidelity:
            size = 2 ** len(qubits)
            model.add_quantum_error(depolarizing_error(infidelity * size / (size - 1), len(qubits)), name, qubits)
    for qubit, (up, down) in enumerate(device.readout_errors):
        model.add_readout_error(ReadoutError([[1 - up, up], [down, 1 - down]]), [qubit])
    there = QuantumCircuit(4)
    for step in range(8):
        there.sx(step % 4)
        there.rz(0.3 + step, step % 4)
        if step % 2:
            there.cz(step % 3, step % 3 + 1)
    circuit = QuantumCircuit(4, 4).compose(there).compose(there.inverse())
    circuit.measure(range(4), range(4))
    shots = 20000
    ours = sample(circuit, np.zeros((1, 0)), shots, device, True, rng)["c"][0] @ (1 << np.arange(4))
    aer = AerSimulator(method="density_matrix", noise_model=model, seed_simulator=1)
    counts = aer.run(circuit, shots=shots).result().get_counts()
    truth = np.array([counts.get(f"{outcome:04b}", 0) for outcome in range(16)]) / shots
    assert truth[0] < 0.6  # it would be 1 without errors
    assert (
        np.abs(np.bincount(ours, minlength=16) / shots - truth) < 5 * np.sqrt(2 * truth * (1 - truth) / shots) + 1e-3
    ).all()


# Jobs.


@pytest.mark.parametrize("level", [0, 1, 2])
def test_estimator_agrees_with_the_state_vector(service: QiskitRuntimeService, wanted: np.ndarray, level: int) -> None:
    backend = service.backend("ibm_testchain")
    job = estimator(backend, shots=2048, level=level).run([isa_pub(backend, [4, 3, 2, 1])])
    data = job.result()[0].data
    assert data.evs.shape == wanted.shape
    if level == 2:
        # The standard errors of an extrapolation over three points do not cover the choice of the curve: what was
        # measured is held to the shots' own error, and the extrapolation to a few times that.
        assert (np.abs(data.evs_noise_factors - wanted[..., None]) < 5 * np.sqrt(2 / 2048)).all()
        assert (np.abs(data.evs - wanted) < 15 * np.sqrt(1 / 2048)).all()
    else:
        assert (np.abs(data.evs - wanted) < 5 * data.stds + 0.03).all()
        assert np.abs(data.evs - wanted).mean() < 0.06
    assert ("evs_noise_factors" in data) == (level == 2)
    assert job.metrics()["usage"]["qpu_charge_time_seconds"] == job.usage() > 2


def test_all_156_qubits_of_a_device_are_measured(
    cloud: CloudService, service: QiskitRuntimeService, wanted: np.ndarray
) -> None:
    backend = service.backend("ibm_testfez")
    job = estimator(backend, shots=512, level=1).run([isa_pub(backend, [22, 23, 24, 25])])
    assert np.abs(job.result()[0].data.evs - wanted).max() < 5 * np.sqrt(2 / 512)
    # 16 randomizations of 32 shots for three rows in two bases, and 16 to learn the readout's errors.
    assert cloud.executions()[-1]["executions"] == 16 * 32 * (3 * 2) + 16 * 32


def test_mitigation_helps_against_the_devices_errors(monkeypatch: pytest.MonkeyPatch, wanted: np.ndarray) -> None:
    with CloudService(CANARY, {"ibm_testchain": "FakeManilaV2"}, noise=True) as noisy:
        for name, value in noisy.environment().items():
            monkeypatch.setenv(name, value)
        backend = QiskitRuntimeService().backend("ibm_testchain")
        pub, worst = isa_pub(backend, [0, 1, 2, 3]), []
        for level in (0, 1):
            worst.append(
                np.abs(estimator(backend, shots=4096, level=level).run([pub]).result()[0].data.evs - wanted).mean()
            )
    assert worst[0] > 0.04 > worst[1] * 1.1


def test_circuits_that_are_not_isa_fail_on_the_service(service: QiskitRuntimeService) -> None:
    circuit = QuantumCircuit(5)
    circuit.cx(0, 1)
    job = estimator(service.backend("ibm_testchain")).run([(circuit, SparsePauliOp("ZIIII"))])
    with pytest.raises(RuntimeJobFailureError, match=r"instruction cx on qubits \(0, 1\) is not supported"):
        job.result()


def test_circuits_that_this_chip_cannot_run_fail(service: QiskitRuntimeService) -> None:
    circuit = QuantumCircuit(5)
    circuit.reset(0)
    with pytest.raises(RuntimeJobFailureError, match="reset is not supported by this service"):
        estimator(service.backend("ibm_testchain")).run([(circuit, SparsePauliOp("ZIIII"))]).result()


def test_the_sampler_runs(service: QiskitRuntimeService) -> None:
    circuit = QuantumCircuit(5, 2)
    circuit.x(3)
    circuit.measure([3, 1], [0, 1])
    result = Sampler(service.backend("ibm_testchain")).run([circuit], shots=20).result()
    assert result[0].data.c.get_counts() == {"01": 20}


def test_dry_run_costs_nothing_and_means_nothing(cloud: CloudService, service: QiskitRuntimeService) -> None:
    job = estimator(service.backend("ibm_testchain"), shots=256).run([flip()], dry_run=True)
    assert abs(job.result()[0].data.evs) < 0.5
    assert cloud.jobs()[-1]["backend"] == "mock_testchain"
    assert job.usage() == 0


def test_a_new_client_finds_a_job_by_its_tag(cloud: CloudService, service: QiskitRuntimeService) -> None:
    before = datetime.datetime.now()
    estimator(service.backend("ibm_testchain"), "run-a", "shard-0").run([flip()])
    other = QiskitRuntimeService()
    (found,) = other.jobs(job_tags=["run-a", "shard-0"], created_after=before)
    assert found.tags == ["run-a", "shard-0"]
    assert other.job(found.job_id()).result()[0].data.evs == -1
    assert other.jobs(job_tags=["run-a", "shard-1"]) == []
    assert other.jobs(job_tags=["run-a"], created_before=before) == []
    assert cloud.runs_by_tag()["shard-0"] == 1
    found.update_tags(["renamed"])
    assert [job.job_id() for job in other.jobs(job_tags=["renamed"], pending=False)] == [found.job_id()]
    other.delete_job(found.job_id())
    with pytest.raises(RuntimeJobNotFound):
        other.job(found.job_id())


def test_pages_of_jobs(cloud: CloudService, service: QiskitRuntimeService) -> None:
    made = [
        cloud.store.add_job(
            program="executor", backend="ibm_testchain", instance=PAID.crn, tags=["page"], status="Failed"
        ).id
        for _ in range(45)
    ]
    newest_first = made[::-1]
    assert [job.job_id() for job in service.jobs(limit=None, job_tags=["page"])] == newest_first
    assert [job.job_id() for job in service.jobs(limit=7, skip=30, job_tags=["page"])] == newest_first[30:37]
    assert [job.job_id() for job in service.jobs(limit=3, descending=False, job_tags=["page"])] == made[:3]


def test_private_results_are_read_once(service: QiskitRuntimeService) -> None:
    job = estimator(service.backend("ibm_testchain"), private=True).run([flip()])
    assert job.result()[0].data.evs == -1
    with pytest.raises(RequestsApiError, match="404"):
        job.result()


def test_cancelled_jobs(cloud: CloudService, service: QiskitRuntimeService) -> None:
    cloud.set_device("ibm_testchain", "maintenance")
    job = estimator(service.backend("ibm_testchain"), "cancelled").run([flip()])
    assert job.status() == "QUEUED"
    job.cancel()
    assert QiskitRuntimeService().job(job.job_id()).status() == "CANCELLED"
    cloud.set_device("ibm_testchain", "online")
    with pytest.raises(RuntimeInvalidStateError):
        QiskitRuntimeService().job(job.job_id()).cancel()
    assert cloud.runs_by_tag()["cancelled"] == 0


def test_time_limit_of_a_job(service: QiskitRuntimeService) -> None:
    limited = estimator(service.backend("ibm_testchain"))
    limited.options.max_execution_time = 1
    with pytest.raises(RuntimeJobMaxTimeoutError, match="1305"):
        limited.run([flip()]).result()


# Sessions and batches.


@pytest.mark.parametrize("kind, mode", [(Session, "dedicated"), (Batch, "batch")])
def test_session_and_batch(cloud: CloudService, service: QiskitRuntimeService, kind: type[Session], mode: str) -> None:
    with kind(service.backend("ibm_testchain"), max_time=300) as session:
        jobs = [estimator(session).run([flip()]) for _ in range(2)]
        assert session.details()["mode"] == mode and session.details()["max_time"] == 300
        assert session.status() == "In progress, accepting new jobs"
        assert [job.result()[0].data.evs for job in jobs] == [-1, -1]
    found = QiskitRuntimeService().jobs(session_id=session.session_id)
    assert {job.job_id() for job in found} == {job.job_id() for job in jobs}
    again = kind.from_id(session.session_id, QiskitRuntimeService())
    assert again.status() == "Closed"
    with pytest.raises(IBMRuntimeError, match="closed"):
        estimator(again).run([flip()])


def test_cancelling_a_session_cancels_what_waits(cloud: CloudService, service: QiskitRuntimeService) -> None:
    session = Session(service.backend("ibm_testchain"))
    cloud.set_device("ibm_testchain", "maintenance")
    job = estimator(session).run([flip()])
    session.cancel()
    assert job.status() == "CANCELLED"


def test_the_open_plan_refuses_sessions_and_takes_batches(cloud: CloudService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment(OPEN).items():
        monkeypatch.setenv(name, value)
    backend = QiskitRuntimeService().backend("ibm_testchain")
    with pytest.raises(
        RequestsApiError, match=r'1352,"message":"You are not authorized to run a session when using the open plan'
    ):
        Session(backend)
    with Batch(backend) as batch:
        assert estimator(batch).run([flip()]).result()[0].data.evs == -1


def test_the_log_never_holds_the_key(cloud: CloudService, service: QiskitRuntimeService) -> None:
    estimator(service.backend("ibm_testchain")).run([flip()]).result()
    log = json.dumps([cloud.requests(), cloud.jobs(), cloud.executions()])
    assert CANARY not in log and "Bearer " not in log and "access_token" not in log
    assert {entry.get("auth") for entry in cloud.requests("jobs.create")} <= {"bearer", "apikey", None}
