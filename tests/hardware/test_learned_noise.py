"""PEC and PEA on real devices: noise is learned once, before the images, whatever fails, and mitigation then helps."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from cloud import client
from cloud.account import OPEN
from cloud.catalog import CATALOG
from cloud.devices import snapshot as cut
from cloud.faults import Fault
from cloud.learner import true_map
from cloud.server import CloudService
from cloud.small_jobs import CANARY
from qiskit.quantum_info import PauliLindbladMap
from qiskit_ibm_runtime.options_models import NoiseLearnerV3Options
from qiskit_mitigation import PEC, find_combined_unique_layers
from remote_runs import ASKED, DEVICE, Killed, finish, kill_at, no_key_in, runs_of, submissions, submit
from samplomatic.annotations import InjectNoise
from samplomatic.transpiler.passes.add_inject_noise import AddInjectNoise
from samplomatic.utils import get_annotation

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import RemoteError
from qgan_qiskit.hardware.backends import load_fake_backend
from qgan_qiskit.hardware.ibm import learned_noise
from qgan_qiskit.hardware.ibm.cost import estimate_pec_overhead
from qgan_qiskit.hardware.ibm.learned_noise import GateLayer, find_layers
from qgan_qiskit.hardware.ibm.submission import Ledger, Submission
from qgan_qiskit.hardware.packing import pack_sub_generators

pytest_plugins = ("cloud.fixtures",)

WITH_PEC = (*ASKED, *DEVICE, "--pec")
WITH_PEA = (*ASKED, *DEVICE, "--zne", "--zne-amplifier", "pea")
LEARN = "-noise"


# Layers and maps.


@pytest.fixture(scope="module")
def packs():
    ansatz = hybridq_ansatz(3, 3)
    weights_PK = np.random.default_rng(0).uniform(-3, 3, (2, ansatz.num_weights))
    return pack_sub_generators(ansatz, weights_PK, load_fake_backend("manila").target, None)


def test_layers_are_found_again_under_other_names(packs, monkeypatch):
    device, config = load_fake_backend("manila"), HardwareConfig(pec=True)
    first = find_layers(device, config, packs)
    # As in a process that has seen other circuits before, of which some have the same short hash.
    monkeypatch.setattr(AddInjectNoise, "_BOX_KEYS", {})
    monkeypatch.setattr(AddInjectNoise, "_REFS", {f"r{number:03x}A" for number in range(4096)})
    again = find_layers(device, config, packs)
    assert [layer for layer, _ in again] == [layer for layer, _ in first]
    assert len(first) == len({layer for layer, _ in first}) >= 3
    names = [{str(layer.operation.annotations) for _, layer in found} for found in (first, again)]
    assert not names[0] & names[1]
    # Every gate is in a layer, on the qubits where the circuits have it.
    places = {
        tuple(pack.circuit.find_bit(qubit).index for qubit in gate.qubits)
        for pack in packs
        for gate in pack.circuit.data
        if len(gate.qubits) == 2
    }
    assert {qubits for layer, _ in first for _, qubits, _ in layer.gates} == places


def test_layers_and_maps_survive_their_file(packs):
    layers = [layer for layer, _ in find_layers(load_fake_backend("manila"), HardwareConfig(pec=True), packs)]
    random = np.random.default_rng(3)
    maps = []
    for layer in layers:
        size = len(layer.qubits)
        terms = [
            ("X", [size - 1], math.pi * 1e-17),
            ("ZY", [0, 1], 0.1 + 0.2),
            *(("Y", [0], r) for r in random.random(9)),
        ]
        maps.append(PauliLindbladMap.from_sparse_list(terms, size))
    learned = learned_noise.parse_noise_model(learned_noise.format_noise_model(maps, layers))
    assert [learned[layer] for layer in layers] == maps
    assert [GateLayer.from_json(json.loads(json.dumps(layer.to_json()))) for layer in layers] == layers


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda maps: maps[1:], "noise of 1 layers instead of 2"),
        (lambda maps: [maps[1], maps[0]], "noise of layer 0 is on 3 qubits"),
        (lambda maps: [maps[0].scale_rates(math.nan), maps[1]], "noise rates of layer 0 are not finite"),
    ],
)
def test_maps_that_do_not_match_the_layers_are_refused(change, problem):
    layers = [GateLayer((0, 1), (), ""), GateLayer((0, 1, 2), (), "")]
    maps = [PauliLindbladMap.from_sparse_list([("X", [0], 0.1)], size) for size in (2, 3)]
    learned_noise.check_maps(maps, layers, "job x")
    with pytest.raises(RemoteError, match=f"job x: {problem}"):
        learned_noise.check_maps(change(maps), layers, "job x")


# Submissions.


def open_sessions(cloud, folder) -> list[bool]:
    """Whether each session or batch in which the noise was learned still takes jobs."""
    rows = Submission.open(folder).noise_ledger.rows()
    return [
        cloud.store.sessions[one].accepting_jobs for one in sorted({r["session_id"] for r in rows if "session_id" in r})
    ]


@pytest.mark.parametrize("asked", [WITH_PEC, WITH_PEA])
def test_noise_is_learned_first_and_in_the_same_session(asked, run, command, cloud, said):
    folder = submit(command, cloud, run, *asked)
    assert Submission.open(folder).shard_states()[0].event == ""
    assert "noise learning (3 layers of gates): submitted, job" in command("hardware", "status", folder)[1]
    assert "`hardware collect` sends the images' jobs once the noise is learned" in "".join(said)
    assert command("hardware", "collect", folder)[0] == 0
    assert runs_of(cloud, folder) == [1, 1, 1]
    learned, *images = cloud.executions()[-3:]
    assert learned["program"] == "noise-learner"
    assert {one["program"] for one in images} == {"executor"}
    assert {one["session_id"] for one in images} == {learned["session_id"]}
    # The session is over with the images.
    assert not cloud.store.sessions[learned["session_id"]].accepting_jobs
    assert json.loads((folder / "images" / "hardware.json").read_text())["device"]["noise_learning"]["layers"] == 3
    assert "noise learning (3 layers of gates): collected" in command("hardware", "status", folder)[1]
    no_key_in(run, said)


def test_images_use_a_new_session_when_that_of_the_learning_is_closed(run, command, cloud):
    folder = submit(command, cloud, run, *WITH_PEC)
    session_id = cloud.jobs()[-1]["session_id"]
    cloud.store.wait_final(cloud.store.jobs[cloud.jobs()[-1]["id"]], 10.0)
    cloud.store.close_session(session_id, (1217, "", ""))
    assert command("hardware", "collect", folder)[0] == 0
    assert runs_of(cloud, folder) == [1, 1, 1]
    assert cloud.executions()[-1]["session_id"] != session_id


FAULTS = {
    "answer of the learning lost": [Fault(route="jobs.create", effect="drop", when="after", only=LEARN)],
    "learning refused": [Fault(route="jobs.create", effect="status", status=503, calls=tuple(range(1, 7)), only=LEARN)],
    "learning fails": [Fault(route="jobs.create", effect="fate", code=9707, message="Internal Error", only=LEARN)],
    "learning malformed": [Fault(route="jobs.results", effect="garble", only=LEARN)],
    "learning without rates": [Fault(route="jobs.results", effect="damage", damage="nan", only=LEARN)],
    "layer missing": [Fault(route="jobs.results", effect="damage", damage="fewer", only=LEARN)],
    "noise of other qubits": [Fault(route="jobs.results", effect="damage", damage="shape", only=LEARN)],
    "session closed while learning waits": [
        Fault(route="jobs.create", effect="close-session", when="after", only=LEARN)
    ],
    "answer of the images lost": [Fault(route="jobs.create", effect="drop", when="after", only="-0000")],
    **{name: CATALOG[name] for name in ("post_504_after_accept", "session_refused", "job_never_starts")},
}
SLOW = {name: CATALOG[name] for name in CATALOG if name not in FAULTS}


@pytest.mark.parametrize("mode", [pytest.param("batch", marks=pytest.mark.slow), "session"])
@pytest.mark.parametrize("name", [*FAULTS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_every_fault_ends_with_all_images_and_each_task_run_once(name, mode, run, command, cloud, said):
    cloud.set_faults({**FAULTS, **SLOW}[name])
    refused = (2, 7) if name == "usage_limit" else (7,)
    folder = submit(command, cloud, run, *WITH_PEC, "--execution-mode", mode, refused=refused)
    if name == "job_never_starts":
        assert command("hardware", "collect", folder, "--no-wait")[0] == 0
        assert command("hardware", "cancel", folder)[0] == 0
        assert "noise learning (3 layers of gates): canceled" in command("hardware", "status", folder)[1]
        assert open_sessions(cloud, folder) == [False]
    finish(command, cloud, folder)
    assert runs_of(cloud, folder) == [1, 1, 1]
    assert len(list((folder / "images").glob("seed*.png"))) == 3
    no_key_in(run, said)


POINTS = [
    pytest.param(where, number, when, marks=[pytest.mark.slow] if (where, when) == ("write", "before") else [])
    for where, last in (("write", 5), ("store_noise_model", 1))
    for number in range(last)
    for when in ("before", "after")
]


@pytest.mark.parametrize("fault", ["none", pytest.param("post_504_after_accept", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("where", "number", "when"), POINTS)
def test_killed_at_any_write_collect_finishes(where, number, when, fault, run, command, cloud, monkeypatch):
    owner = {"write": Ledger, "store_noise_model": Submission}[where]
    original = kill_at(monkeypatch, owner, where, number, when)
    cloud.set_faults([] if fault == "none" else CATALOG[fault])
    with pytest.raises(Killed):
        command("hardware", "submit", run, "-n", "3", *WITH_PEC)
        command("hardware", "collect", submissions(run)[0])
    monkeypatch.setattr(owner, where, original)
    [folder] = submissions(run)
    finish(command, cloud, folder)
    assert runs_of(cloud, folder) == [1, 1, 1]


def test_learning_that_fails_too_often_is_reported_and_can_resume(run, command, cloud):
    failing = FAULTS["learning fails"][0].model_copy(update={"calls": None})
    cloud.set_faults([failing])
    folder = submit(command, cloud, run, *WITH_PEC)
    status, _, err = command("hardware", "collect", folder, "--attempts", "2")
    assert status == 7
    assert "noise learning was sent 2 times and failed" in err
    assert "Internal Error" in err
    # An open session costs.
    assert open_sessions(cloud, folder) == [False]
    cloud.set_faults([])
    assert command("hardware", "collect", folder)[0] == 0
    assert runs_of(cloud, folder) == [1, 1, 1]


def test_another_process_with_another_hash_seed_resumes(run, command, cloud):
    folder = submit(command, cloud, run, *WITH_PEC)
    code = "import sys; from qgan_qiskit.cli.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "hardware", "collect", str(folder)],
        env=os.environ | client.without_pauses() | {"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert runs_of(cloud, folder) == [1, 1, 1]
    assert CANARY not in done.stdout + done.stderr


def test_damaged_noise_model_is_named(run, command, cloud):
    cloud.set_faults([Fault(route="jobs.create", effect="fate", outcome="Queued", only="-0000")])
    folder = submit(command, cloud, run, *WITH_PEC)
    cloud.store.wait_final(cloud.store.jobs[cloud.jobs()[-1]["id"]], 10.0)
    command("hardware", "collect", folder, "--no-wait")
    command("hardware", "cancel", folder)
    cloud.set_faults([])
    (folder / "noise_model.json").write_text("{")
    status, _, err = command("hardware", "collect", folder)
    assert status == 4
    assert "noise_model.json: damaged" in err
    ledger = folder / "noise_jobs.jsonl"
    ledger.write_text("\n".join(row for row in ledger.read_text().split("\n") if '"collected"' not in row))
    assert command("hardware", "collect", folder)[0] == 0
    assert runs_of(cloud, folder)[0] == 1


# What it costs.


def test_cost_says_layers_and_formula_of_the_learning(run, command, cloud):
    status, out, _ = command("hardware", "cost", run, "-n", "3", *WITH_PEC)
    assert status == 0
    assert (
        "663,552 executions, about 234 s, learn the noise: 3 layers x 6 depths x 9 bases x 32 randomizations x 128 shots"
    ) in out
    # Two jobs of images and one that learns.
    assert "3 jobs, 4 PUBs, 701,952 executions; about 252 s" in out
    assert "778,752 executions, 1.1 times as many" in out
    assert "1 side by side" in out
    assert "multiplies over" not in out
    less = ("--noise-learning-randomizations", "4", "--noise-learning-shots", "32")
    assert "20,736 executions, about 9 s, learn" in command("hardware", "cost", run, "-n", "3", *WITH_PEC, *less)[1]


def test_estimated_learning_is_what_runs(run, command, cloud):
    less = ("--noise-learning-randomizations", "4", "--noise-learning-shots", "32")
    folder = submit(command, cloud, run, *WITH_PEC, *less)
    finish(command, cloud, folder)
    [learned] = [one for one in cloud.executions() if Submission.open(folder).manifest.noise_tag in one["tags"]]
    assert learned["executions"] == 3 * 6 * 9 * 4 * 32


def test_defaults_are_those_of_the_client():
    ours, theirs = HardwareConfig(), NoiseLearnerV3Options()
    assert ours.noise_learning_shots == theirs.shots_per_randomization
    assert ours.noise_learning_randomizations == theirs.num_randomizations


def test_pec_overhead_of_depolarizing_gates_is_that_of_the_client(packs):
    device = cut("ibm_any", "FakeManilaV2")
    device.gate_errors |= {key: 0.0 for key in device.gate_errors if key[0] == "sx"}
    for pack in packs:
        layers = find_combined_unique_layers([pack.circuit], [PEC()], None, "gates")
        maps = {get_annotation(one.operation, InjectNoise).ref: true_map(one, device, noise=True) for one in layers}
        task = PEC()
        values = np.zeros(pack.circuit.num_parameters)
        task.prepare(pack.circuit, list(pack.observables[:1]), values, noise_maps=maps, max_sampling_overhead=None)
        found = estimate_pec_overhead(pack.circuit, load_fake_backend("manila").target)
        assert found == pytest.approx(task.gamma**2)
        assert found > 1.2


def test_pec_overhead_of_packed_circuits_is_reported(run, command, cloud):
    asked = ("-n", "3", "--backend", "ibm:ibm_testfez", "--pec", "--pec-max-overhead", "1.05")
    out = command("hardware", "cost", run, *asked)[1]
    assert "multiplies over the 2 side by side, one alone takes about 1." in out
    assert "limited to the 1.05 counted above" in out


def test_learning_counts_as_a_job_for_the_mode(run, command, cloud, monkeypatch):
    for name, value in cloud.environment(OPEN).items():
        monkeypatch.setenv(name, value)
    for more, mode in (((), "job"), (("--pec", "--pec-max-overhead", "2"), "batch")):
        out = command("hardware", "cost", run, "-n", "2", *ASKED, *DEVICE, *more)[1]
        assert f"execution mode: {mode} (the open plan allows no sessions" in out


# What it is good for.


@pytest.fixture(scope="module")
def noisy():
    """A service whose chip errs often enough for few shots to tell."""
    with CloudService(CANARY, {"ibm_testchain": "FakeManilaV2"}, noise=True) as cloud:
        device = cloud.devices["ibm_testchain"]
        device.gate_errors |= {
            key: 0.06 if key[0] == "cx" else 0.002 for key in device.gate_errors if key[0] in ("cx", "sx")
        }
        yield cloud


@pytest.fixture(scope="module")
def truth(trained):
    """Exact expectations of the images' circuits, (images, sub-generators, observables)."""
    from qgan_qiskit.hardware.generator_circuits import circuit_inputs
    from qgan_qiskit.runs.load import load_generator
    from qgan_qiskit.runs.sample import sample_latents
    from qgan_qiskit.simulation.estimator import expectation_values

    work = circuit_inputs(load_generator(trained)[0], sample_latents(load_generator(trained)[0], range(6)))
    bound = [
        work.ansatz.circuit.assign_parameters(dict(zip(work.ansatz.weight_parameters, weights_K, strict=True)))
        for weights_K in work.weights_PK
    ]
    members = enumerate(bound)
    return np.stack(
        [expectation_values(one, work.ansatz.observables, work.angles_BPQ[:, m]) for m, one in members], axis=1
    )


def errors(noisy, monkeypatch, command, run, truth, *asked: str) -> float:
    """Root mean square error of a level's expectations."""
    for name, value in noisy.environment().items():
        monkeypatch.setenv(name, value)
    output = run / f"{len(list(run.glob('*.npz')))}.npz"
    done = command("generate", run, "-n", "6", *DEVICE, "--shots", "8192", "--output", output, *asked)
    assert done[0] == 0
    with np.load(output) as file:
        return float(np.sqrt(np.mean((file["evs"] - truth) ** 2)))


def test_pec_and_pea_reduce_the_error(noisy, monkeypatch, command, run, truth):
    amplified = ("--zne", "--zne-amplifier", "pea", "--zne-factors", "1,1.5,2", "--zne-extrapolators", "linear")
    level, pec, pea = (errors(noisy, monkeypatch, command, run, truth, *asked) for asked in ((), ("--pec",), amplified))
    # Over four seeds they were at most 0.29 and 0.62.
    assert level > 0.08
    assert pec < 0.5 * level
    assert pea < 0.85 * level
