"""Exact channels against Aer's density matrix, its mitigation against IBM's Estimator, and each part against what is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import PTM, DensityMatrix, random_unitary
from qiskit_aer import AerSimulator
from qiskit_mitigation.zne.extrapolation import _process_extrapolated_expectation_values

from qgan_qiskit.circuits import hybridq_ansatz, qgpatch_ansatz
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import CircuitError, UsageError
from qgan_qiskit.hardware.backends import snapshot
from qgan_qiskit.hardware.noise.calibration import DeviceNoise
from qgan_qiskit.hardware.noise.noisy_circuit import Amplified, NoisyCircuit
from qgan_qiskit.hardware.noise.pauli_transfer import PauliVectors, transfer_matrices
from qgan_qiskit.hardware.noise.zne import extrapolate_to_zero_noise
from qgan_qiskit.hardware.packing import packed
from qgan_qiskit.hardware.simulated_backend import open_local
from qgan_qiskit.hardware.subcircuits import DevicePart, parts


@pytest.mark.parametrize("seed", range(8))
def test_random_circuits_give_the_density_matrix(seed):
    random = np.random.default_rng(seed)
    num_qubits = int(random.integers(2, 6))
    vectors = PauliVectors(3, num_qubits, torch.float64)
    matrices = [DensityMatrix.from_label("0" * num_qubits) for _ in range(3)]
    for _ in range(25):
        size = int(random.integers(1, 3))
        qubits = tuple(int(qubit) for qubit in random.choice(num_qubits, size, replace=False))
        gates = [random_unitary(2**size, seed=int(random.integers(1 << 30))) for _ in matrices]
        found = transfer_matrices(np.array([gate.data for gate in gates]))
        np.testing.assert_allclose(found[1], PTM(gates[1]).data.real, atol=1e-12)
        vectors.apply(found, qubits)
        matrices = [matrix.evolve(gate, list(qubits)) for matrix, gate in zip(matrices, gates, strict=True)]
    expected = [matrix.probabilities(list(reversed(range(num_qubits)))) for matrix in matrices]
    np.testing.assert_allclose(vectors.probabilities(), expected, atol=1e-12)


def noisy_part(ansatz, device_name, random):
    """Return one sub-generator on its place: circuit, its qubits there, part of the device, and what runs it."""
    device = snapshot(device_name)
    [pack] = packed(ansatz, random.uniform(-3, 3, (1, ansatz.num_weights)), device.target, 1)
    qubits = tuple(sorted(pack.places[0]))
    circuit, part = dict(parts(pack.circuit))[qubits], DevicePart(device, qubits)
    order = [qubits.index(qubit) for qubit in pack.places[0]]
    return circuit, part, NoisyCircuit(circuit, pack.parameters, order, DeviceNoise.of(part)), pack.parameters


@pytest.mark.parametrize("device", ["manila", "brisbane", "torino", "fez"])
@pytest.mark.parametrize("letter", ["Z", "X", "Y"])
def test_probabilities_are_those_of_aer(device, letter):
    random = np.random.default_rng(0)
    circuit, part, noisy, parameters = noisy_part(hybridq_ansatz(4, 2), device, random)
    angles_BQ = random.uniform(-3, 3, (3, 4))
    aer = AerSimulator.from_backend(part, method="density_matrix", max_parallel_threads=1)
    # Aer's own readout errors act on shots, not on probabilities: ours are put on by hand.
    probabilities = []
    for row in angles_BQ:
        values = dict(zip(parameters, row, strict=True))
        bound = circuit.assign_parameters({parameter: values[parameter] for parameter in circuit.parameters})
        for qubit in range(4):
            if letter != "Z":
                bound.rz(0 if letter == "Y" else np.pi / 2, qubit)
                bound.sx(qubit)
                bound.rz(np.pi / 2, qubit)
        bound.save_density_matrix()
        state = DensityMatrix(aer.run(bound).result().data()["density_matrix"])
        tensor = state.probabilities().reshape([2] * 4)
        for qubit in range(4):
            axis = 3 - qubit
            tensor = np.moveaxis(np.tensordot(noisy.noise.readout[qubit], tensor, (1, axis)), 0, axis)
        probabilities.append(tensor.reshape(-1))
    found = np.concatenate([chunk[0] for _, chunk in noisy.read(angles_BQ, [letter * 4], Amplified(), False)])
    np.testing.assert_allclose(found, probabilities, atol=2e-6)
    assert np.abs(noisy.noise.readout - np.eye(2)).max() > 1e-4


@pytest.mark.parametrize("device", ["manila", "brisbane", "torino", "fez"])
@pytest.mark.parametrize("amplified", [Amplified(), Amplified(3, twirled=True), Amplified(1.5, "pea", twirled=True)])
@pytest.mark.parametrize("twirled", [False, True])
def test_what_is_measured_followed_backwards_is_what_each_state_gives(device, amplified, twirled):
    random = np.random.default_rng(3)
    _, _, noisy, _ = noisy_part(hybridq_ansatz(4, 2), device, random)
    angles_BQ = random.uniform(-3, 3, (5, 4))
    strings = ["".join(random.choice(list("IXYZ"), 4)) for _ in range(7)] + ["ZIII", "IIIZ", "IIII"]
    found_BT = noisy.expectations(angles_BQ, strings, amplified, twirled)
    for number, string in enumerate(strings):
        outcomes = np.arange(16)
        support = [qubit for qubit, letter in enumerate(string) if letter != "I"]
        signs = np.prod([1 - 2 * (outcomes >> qubit & 1) for qubit in support], axis=0) * np.ones(16)
        chunks = noisy.read(angles_BQ, [string.replace("I", "Z")], amplified, twirled)
        expected_B = np.concatenate([chunk @ signs for _, [chunk] in chunks])
        np.testing.assert_allclose(found_BT[:, number], expected_B, atol=3e-6)


def test_inputs_between_meetings_are_noticed():
    x = Parameter("x")
    first, later, alone = QuantumCircuit(2), QuantumCircuit(2), QuantumCircuit(2)
    first.rz(x, 1)
    first.cz(0, 1)
    later.cz(0, 1)
    later.rz(x, 1)
    alone.cx(0, 1)
    for circuit, inputs, expected in ((first, [x], True), (later, [x], False), (alone, [], True)):
        assert NoisyCircuit(circuit, inputs, [0, 1], DeviceNoise.none(2)).inputs_come_first is expected


@pytest.mark.parametrize("level", [0, 1, 2])
def test_shots_scatter_as_their_standard_errors_say(level, work):
    ansatz, angles, weights = work
    many = np.repeat(angles[:1], 400, axis=0)
    settings = {"resilience_level": level, "shots": 2048, "processes": 1, "zne_extrapolators": "linear"}
    read = open_local(HardwareConfig(backend="aer:manila", **settings)).readings(ansatz, many, weights)
    # Deviations of 400 values, and of three points around a line, which are far less certain.
    np.testing.assert_allclose(read.evs_BPO.std(0), read.stds_BPO.mean(0), rtol=0.25 if level < 2 else 0.6)


def test_aer_counts_show_the_same_readout_errors():
    random = np.random.default_rng(1)
    circuit, part, noisy, parameters = noisy_part(hybridq_ansatz(3, 1), "manila", random)
    row = random.uniform(-3, 3, 3)
    values = dict(zip(parameters, row, strict=True))
    bound = circuit.assign_parameters({parameter: values[parameter] for parameter in circuit.parameters})
    bound.measure_all()
    shots = 200_000
    counts = AerSimulator.from_backend(part, seed_simulator=1).run(bound, shots=shots).result().get_counts()
    seen = np.array([counts.get(f"{outcome:03b}", 0) for outcome in range(8)]) / shots
    [(_, [expected])] = noisy.read(row[None], ["ZZZ"], Amplified(), False)
    assert np.abs(seen - expected[0]).max() < 5 * np.sqrt(0.25 / shots)


def test_twirled_errors_are_the_mean_over_all_random_paulis():
    """A twirled gate by the definition: each pair of Paulis before, what it becomes after, all with equal weight."""
    random = np.random.default_rng(2)
    _, _, noisy, _ = noisy_part(hybridq_ansatz(3, 1), "manila", random)
    (name, _), error = next(item for item in noisy.noise.gates.items() if len(item[0][1]) == 2)
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(0, 1)
    gate = PTM(circuit).data.real
    signs = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    paulis = [np.diag(np.kron(first, second)).astype(float) for first in signs for second in signs]
    mean = np.mean([gate @ pauli @ gate.T @ error @ gate @ pauli for pauli in paulis], axis=0)
    np.testing.assert_allclose(np.diag(np.diag(error)) @ gate, mean, atol=1e-12)


def test_amplified_noise_is_the_noise_repeated():
    """Two qubits, one gate: factors act as powers of the twirled error, to first order for folding, exactly for PEA."""
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.sx(1)
    circuit.cz(0, 1)
    error = np.diag([1.0, *np.random.default_rng(3).uniform(0.98, 1.0, 15)])
    readout = np.tile(np.eye(2), (2, 1, 1))
    noisy = NoisyCircuit(circuit, [], [0, 1], DeviceNoise({("cz", (0, 1)): error}, readout))
    stronger = NoisyCircuit(circuit, [], [0, 1], DeviceNoise({("cz", (0, 1)): error**3}, readout))

    def read(which, amplified):
        [(_, [found])] = which.read(np.zeros((1, 0)), ["XY"], amplified, False)
        return found[0]

    np.testing.assert_allclose(read(noisy, Amplified(3, "pea", True)), read(stronger, Amplified()), atol=1e-6)
    folded = read(noisy, Amplified(3, "gate_folding", True))
    np.testing.assert_allclose(folded, read(stronger, Amplified()), atol=5e-3)
    by_hand = np.diag(np.diag(error)) @ PTM(circuit_of_cz()).data.real
    by_hand = np.linalg.matrix_power(by_hand, 3)
    before = PTM(circuit_without_cz(circuit)).data.real
    vectors = PauliVectors(1, 2, torch.float64)
    vectors.apply((by_hand @ before)[None], (0, 1))
    turned = vectors.copy()
    turned.apply(transfer_matrices(np.array([[[1, 1], [1, -1]]]) / 2**0.5), (0,))
    turned.apply(transfer_matrices(np.array([[[1, -1j], [-1j, 1]]]) / 2**0.5), (1,))
    np.testing.assert_allclose(folded, turned.probabilities()[0][[0, 2, 1, 3]], atol=1e-6)
    clean = read(NoisyCircuit(circuit, [], [0, 1], DeviceNoise.none(2)), Amplified())
    np.testing.assert_allclose(read(noisy, Amplified(0, "pea", True)), clean, atol=1e-6)


def circuit_of_cz():
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    return circuit


def circuit_without_cz(circuit):
    other = QuantumCircuit(2)
    for instruction in circuit.data[:2]:
        other.append(instruction.operation, [circuit.find_bit(instruction.qubits[0]).index])
    return other


def test_overhead_of_a_depolarizing_gate_is_known():
    """Undoing depolarizing noise of strength p on two qubits needs gamma = (1 + 7p/8) / (1 - p)."""
    strength = 0.05
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    circuit.cz(0, 1)
    error = np.diag([1.0] + [1 - strength] * 15)
    noisy = NoisyCircuit(circuit, [], [0, 1], DeviceNoise({("cz", (0, 1)): error}, np.tile(np.eye(2), (2, 1, 1))))
    assert noisy.overhead() == pytest.approx(((1 + 7 * strength / 8) / (1 - strength)) ** 2)


@pytest.mark.parametrize("name", ["exponential", "linear", "polynomial_degree_2", "fallback", "double_exponential"])
def test_extrapolation_is_that_of_ibm(name):
    random = np.random.default_rng(4)
    factors = (1.0, 1.5, 2.0, 3.0, 5.0) if name == "double_exponential" else (1.0, 3.0, 5.0)
    for _ in range(30):
        truth, rate = random.uniform(-1, 1), random.uniform(0.01, 0.3)
        stds_F = random.uniform(0.005, 0.02, len(factors))
        evs_F = truth * np.exp(-rate * np.array(factors)) + stds_F * random.normal(size=len(factors))
        with warnings.catch_warnings(action="ignore"):
            value, error, *_ = _process_extrapolated_expectation_values(evs_F, stds_F, "Z", factors, [name, "linear"])
        found = extrapolate_to_zero_noise(factors, evs_F, stds_F, [name, "linear"])
        # Two exponentials do not fit noise well: there the search may end elsewhere.
        tolerance = 0.05 if name == "double_exponential" else 1e-4
        np.testing.assert_allclose(found, (value, error), atol=tolerance)


def test_a_level_line_has_an_error():
    value, error = extrapolate_to_zero_noise(
        (1.0, 3.0, 5.0), np.array([0.07, 0.045, 0.07]), np.full(3, 0.023), ["linear"]
    )
    assert value == pytest.approx(np.mean([0.07, 0.045, 0.07]))
    assert np.isfinite(error)


@pytest.fixture(scope="module")
def work():
    random, ansatz = np.random.default_rng(5), hybridq_ansatz(3, 2)
    return ansatz, random.uniform(0, 3, (6, 1, 3)), random.uniform(-3, 3, (1, ansatz.num_weights))


@pytest.mark.parametrize(("level", "more"), [(0, {}), (1, {}), (2, {"zne_extrapolators": "linear"})])
def test_readings_agree_with_ibms_estimator_on_aer(level, more, work):
    """The same expectations at every level, within the scatter of shots."""
    shots = 8192
    settings = {"resilience_level": level, "shots": shots, "processes": 1, **more}
    ours, theirs = (
        open_local(HardwareConfig(backend=f"{kind}:manila", **settings)).readings(*work) for kind in ("aer", "fake")
    )
    if level == 2:
        difference = ours.more["evs_noise_factors"] - theirs.more["evs_noise_factors"]
        assert np.abs(difference).max() < 6 * np.sqrt(2 / shots)
    assert np.abs(ours.evs_BPO - theirs.evs_BPO).max() < (4 if level == 2 else 1) * 6 * np.sqrt(2 / shots)
    many = open_local(HardwareConfig(backend="aer:manila", **{**settings, "shots": 1_000_000})).readings(*work)
    assert np.abs(ours.evs_BPO - many.evs_BPO).max() < 6 * ours.stds_BPO.max()


def test_mitigation_brings_expectations_nearer_to_the_truth(work):
    exact = open_local(HardwareConfig(backend="shots", shots=1_000_000, processes=1)).readings(*work).evs_BPO
    errors = {}
    for name, more in {
        "none": {"resilience_level": 0},
        "readout": {"resilience_level": 1},
        "zne": {"resilience_level": 2, "zne_extrapolators": "exponential"},
        "pea": {"resilience_level": 2, "zne_amplifier": "pea", "zne_factors": "1,1.5,2"},
        "pec": {"resilience_level": 1, "pec": True},
    }.items():
        config = HardwareConfig(backend="aer:manila", shots=1_000_000, processes=1, **more)
        errors[name] = np.abs(open_local(config).readings(*work).evs_BPO - exact).mean()
    assert errors["readout"] < 0.7 * errors["none"]
    for name in ("zne", "pea", "pec"):
        assert errors[name] < 0.7 * errors["readout"], name


def test_partial_cancellation_keeps_the_shots_in_bounds(work):
    evs = {}
    for most in (1.0001, 1e6):
        config = HardwareConfig(
            backend="aer:manila", shots=1_000_000, processes=1, pec=True, resilience_level=1, pec_max_overhead=most
        )
        evs[most] = open_local(config).readings(*work).evs_BPO
    plain = HardwareConfig(backend="aer:manila", shots=1_000_000, processes=1, resilience_level=1, gate_twirling=True)
    without = open_local(plain).readings(*work).evs_BPO
    assert np.abs(evs[1.0001] - without).max() < 0.01 < np.abs(evs[1e6] - without).max()


def test_observables_of_several_bases_are_read():
    ansatz = qgpatch_ansatz()
    random = np.random.default_rng(6)
    angles, weights = random.uniform(0, 3, (2, 1, ansatz.num_inputs)), random.uniform(-3, 3, (1, ansatz.num_weights))
    ours = open_local(HardwareConfig(backend="aer:fez", shots=100_000, processes=1, resilience_level=0))
    theirs = open_local(HardwareConfig(backend="fake:fez", shots=10_000, processes=1, resilience_level=0))
    found, expected = ours.readings(ansatz, angles, weights), theirs.readings(ansatz, angles, weights)
    assert np.abs(found.evs_BPO - expected.evs_BPO).max() < 6 * np.sqrt(2 / 10_000)


def test_what_cannot_be_simulated_is_refused(work):
    wide = QuantumCircuit(14)
    with pytest.raises(CircuitError, match="up to 13 qubits of a circuit, not for 14; take fake:NAME"):
        NoisyCircuit(wide, [Parameter("x")], range(14), DeviceNoise.none(14))
    config = HardwareConfig(backend="aer:manila", resilience_level=2, zne_factors="1,2", processes=1)
    with pytest.raises(UsageError, match="--zne-factors 1,2: gates are simulated folded an odd number of times"):
        open_local(config).readings(*work)
