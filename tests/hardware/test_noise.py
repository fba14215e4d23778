"""Exact channels against Aer's density matrix, mitigation against IBM's Estimator, and each subset against closed forms."""

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
from qgan_qiskit.hardware.backends import BackendSubset, load_fake_backend, open_simulated_backend
from qgan_qiskit.hardware.noise.noisy_circuit import DeviceNoise, NoiseAmplification, NoisyCircuit
from qgan_qiskit.hardware.noise.pauli_transfer import PauliVectors, transfer_matrices
from qgan_qiskit.hardware.noise.zne import extrapolate_to_zero_noise
from qgan_qiskit.hardware.packing import pack_sub_generators, split_circuit


@pytest.mark.parametrize("seed", range(4))
def test_random_circuits_give_the_density_matrix(seed):
    random = np.random.default_rng(seed)
    num_qubits = int(random.integers(2, 6))
    vectors = PauliVectors.zero_states(3, num_qubits, torch.float64)
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


def noisy_subcircuit(spec, device_name, random):
    """Return one sub-generator with its layout: subcircuit, subset of the device, noisy circuit, and inputs."""
    device = load_fake_backend(device_name)
    [packed] = pack_sub_generators(spec, random.uniform(-3, 3, (1, spec.num_weights)), device.target, 1)
    qubits = tuple(sorted(packed.layouts[0]))
    circuit, subset = split_circuit(packed.circuit)[qubits], BackendSubset(device, qubits)
    order = [qubits.index(qubit) for qubit in packed.layouts[0]]
    return (
        circuit,
        subset,
        NoisyCircuit(circuit, packed.parameters, order, DeviceNoise.from_backend(subset)),
        packed.parameters,
    )


@pytest.mark.parametrize("device", ["manila", "brisbane", "torino", "fez"])
@pytest.mark.parametrize("letter", ["Z", "X", "Y"])
def test_probabilities_are_those_of_aer(device, letter):
    random = np.random.default_rng(0)
    circuit, subset, noisy, parameters = noisy_subcircuit(hybridq_ansatz(4, 2), device, random)
    angles_BQ = random.uniform(-3, 3, (3, 4))
    aer = AerSimulator.from_backend(subset, method="density_matrix", max_parallel_threads=1)
    # Aer applies readout errors to shots, not to probabilities: they are applied here.
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
    found = np.concatenate(
        [chunk[0] for _, chunk in noisy.compute_probabilities(angles_BQ, [letter * 4], NoiseAmplification(), False)]
    )
    np.testing.assert_allclose(found, probabilities, atol=2e-6)
    assert np.abs(noisy.noise.readout - np.eye(2)).max() > 1e-4


@pytest.mark.parametrize("device", ["manila", "brisbane", "torino", "fez"])
@pytest.mark.parametrize(
    "amplification",
    [NoiseAmplification(), NoiseAmplification(3, twirled=True), NoiseAmplification(1.5, "pea", twirled=True)],
)
@pytest.mark.parametrize("twirled", [False, True])
def test_heisenberg_and_schroedinger_pictures_agree(device, amplification, twirled):
    random = np.random.default_rng(3)
    _, _, noisy, _ = noisy_subcircuit(hybridq_ansatz(4, 2), device, random)
    angles_BQ = random.uniform(-3, 3, (5, 4))
    strings = ["".join(random.choice(list("IXYZ"), 4)) for _ in range(7)] + ["ZIII", "IIIZ", "IIII"]
    found_BT = noisy.compute_expectations(angles_BQ, strings, amplification, twirled)
    for number, string in enumerate(strings):
        outcomes = np.arange(16)
        support = [qubit for qubit, letter in enumerate(string) if letter != "I"]
        signs = np.prod([1 - 2 * (outcomes >> qubit & 1) for qubit in support], axis=0) * np.ones(16)
        chunks = noisy.compute_probabilities(angles_BQ, [string.replace("I", "Z")], amplification, twirled)
        expected_B = np.concatenate([chunk @ signs for _, [chunk] in chunks])
        np.testing.assert_allclose(found_BT[:, number], expected_B, atol=3e-6)


def test_inputs_after_entangling_are_noticed():
    x = Parameter("x")
    first, later, alone = QuantumCircuit(2), QuantumCircuit(2), QuantumCircuit(2)
    first.rz(x, 1)
    first.cz(0, 1)
    later.cz(0, 1)
    later.rz(x, 1)
    alone.cx(0, 1)
    for circuit, inputs, expected in ((first, [x], True), (later, [x], False), (alone, [], True)):
        assert NoisyCircuit(circuit, inputs, [0, 1], DeviceNoise.ideal(2)).encodes_before_entangling is expected


@pytest.mark.parametrize("level", [0, 1, 2])
def test_standard_errors_are_those_of_repeated_sampling(level, work):
    spec, angles, weights = work
    many = np.repeat(angles[:1], 400, axis=0)
    settings = {"resilience_level": level, "shots": 2048, "processes": 1, "zne_extrapolators": "linear"}
    read = open_simulated_backend(HardwareConfig(backend="aer:manila", **settings)).run(spec, many, weights)
    # The errors of a line through three points are far less certain.
    np.testing.assert_allclose(read.evs_BPO.std(0), read.stds_BPO.mean(0), rtol=0.25 if level < 2 else 0.6)


def test_aer_counts_show_the_same_readout_errors():
    random = np.random.default_rng(1)
    circuit, subset, noisy, parameters = noisy_subcircuit(hybridq_ansatz(3, 1), "manila", random)
    row = random.uniform(-3, 3, 3)
    values = dict(zip(parameters, row, strict=True))
    bound = circuit.assign_parameters({parameter: values[parameter] for parameter in circuit.parameters})
    bound.measure_all()
    shots = 200_000
    counts = AerSimulator.from_backend(subset, seed_simulator=1).run(bound, shots=shots).result().get_counts()
    seen = np.array([counts.get(f"{outcome:03b}", 0) for outcome in range(8)]) / shots
    [(_, [expected])] = noisy.compute_probabilities(row[None], ["ZZZ"], NoiseAmplification(), False)
    assert np.abs(seen - expected[0]).max() < 5 * np.sqrt(0.25 / shots)


def test_twirled_errors_are_the_mean_over_all_random_paulis():
    """A twirled gate by the definition: each pair of Paulis before, what it becomes after, all with equal weight."""
    random = np.random.default_rng(2)
    _, _, noisy, _ = noisy_subcircuit(hybridq_ansatz(3, 1), "manila", random)
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

    def read(which, amplification):
        [(_, [found])] = which.compute_probabilities(np.zeros((1, 0)), ["XY"], amplification, False)
        return found[0]

    np.testing.assert_allclose(
        read(noisy, NoiseAmplification(3, "pea", True)), read(stronger, NoiseAmplification()), atol=1e-6
    )
    folded = read(noisy, NoiseAmplification(3, "gate_folding", True))
    np.testing.assert_allclose(folded, read(stronger, NoiseAmplification()), atol=5e-3)
    by_hand = np.diag(np.diag(error)) @ PTM(circuit_of_cz()).data.real
    by_hand = np.linalg.matrix_power(by_hand, 3)
    before = PTM(circuit_without_cz(circuit)).data.real
    vectors = PauliVectors.zero_states(1, 2, torch.float64)
    vectors.apply((by_hand @ before)[None], (0, 1))
    turned = vectors.copy()
    turned.apply(transfer_matrices(np.array([[[1, 1], [1, -1]]]) / 2**0.5), (0,))
    turned.apply(transfer_matrices(np.array([[[1, -1j], [-1j, 1]]]) / 2**0.5), (1,))
    np.testing.assert_allclose(folded, turned.probabilities()[0][[0, 2, 1, 3]], atol=1e-6)
    clean = read(NoisyCircuit(circuit, [], [0, 1], DeviceNoise.ideal(2)), NoiseAmplification())
    np.testing.assert_allclose(read(noisy, NoiseAmplification(0, "pea", True)), clean, atol=1e-6)


def circuit_of_cz():
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    return circuit


def circuit_without_cz(circuit):
    other = QuantumCircuit(2)
    for instruction in circuit.data[:2]:
        other.append(instruction.operation, [circuit.find_bit(instruction.qubits[0]).index])
    return other


def test_pec_gamma_of_a_depolarizing_gate_is_the_closed_form():
    """Undoing depolarizing noise of strength p on two qubits needs gamma = (1 + 7p/8) / (1 - p)."""
    strength = 0.05
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    circuit.cz(0, 1)
    error = np.diag([1.0] + [1 - strength] * 15)
    noisy = NoisyCircuit(circuit, [], [0, 1], DeviceNoise({("cz", (0, 1)): error}, np.tile(np.eye(2), (2, 1, 1))))
    assert noisy.pec_gamma() == pytest.approx(((1 + 7 * strength / 8) / (1 - strength)) ** 2)


@pytest.mark.parametrize("name", ["exponential", "linear", "polynomial_degree_2", "fallback", "double_exponential"])
def test_extrapolation_agrees_with_ibm(name):
    random = np.random.default_rng(4)
    factors = (1.0, 1.5, 2.0, 3.0, 5.0) if name == "double_exponential" else (1.0, 3.0, 5.0)
    for _ in range(15):
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
    random, spec = np.random.default_rng(5), hybridq_ansatz(3, 2)
    return spec, random.uniform(0, 3, (6, 1, 3)), random.uniform(-3, 3, (1, spec.num_weights))


@pytest.mark.parametrize(("level", "more"), [(0, {}), (1, {}), (2, {"zne_extrapolators": "linear"})])
def test_results_agree_with_ibms_estimator_on_aer(level, more, work):
    """The same expectations at every level, within the scatter of shots."""
    shots = 8192
    settings = {"resilience_level": level, "shots": shots, "processes": 1, **more}
    ours, theirs = (
        open_simulated_backend(HardwareConfig(backend=f"{kind}:manila", **settings)).run(*work)
        for kind in ("aer", "fake")
    )
    if level == 2:
        difference = ours.auxiliary["evs_noise_factors"] - theirs.auxiliary["evs_noise_factors"]
        assert np.abs(difference).max() < 6 * np.sqrt(2 / shots)
    assert np.abs(ours.evs_BPO - theirs.evs_BPO).max() < (4 if level == 2 else 1) * 6 * np.sqrt(2 / shots)
    many = open_simulated_backend(HardwareConfig(backend="aer:manila", **{**settings, "shots": 1_000_000})).run(*work)
    assert np.abs(ours.evs_BPO - many.evs_BPO).max() < 6 * ours.stds_BPO.max()


def test_mitigation_reduces_the_error(work):
    exact = open_simulated_backend(HardwareConfig(backend="shots", shots=1_000_000, processes=1)).run(*work).evs_BPO
    errors = {}
    for name, more in {
        "none": {"resilience_level": 0},
        "readout": {"resilience_level": 1},
        "zne": {"resilience_level": 2, "zne_extrapolators": "exponential"},
        "pea": {"resilience_level": 2, "zne_amplifier": "pea", "zne_factors": "1,1.5,2"},
        "pec": {"resilience_level": 1, "pec": True},
    }.items():
        config = HardwareConfig(backend="aer:manila", shots=1_000_000, processes=1, **more)
        errors[name] = np.abs(open_simulated_backend(config).run(*work).evs_BPO - exact).mean()
    assert errors["readout"] < 0.7 * errors["none"]
    for name in ("zne", "pea", "pec"):
        assert errors[name] < 0.7 * errors["readout"], name


def test_partial_cancellation_limits_the_overhead(work):
    evs = {}
    for most in (1.0001, 1e6):
        config = HardwareConfig(
            backend="aer:manila", shots=1_000_000, processes=1, pec=True, resilience_level=1, pec_max_overhead=most
        )
        evs[most] = open_simulated_backend(config).run(*work).evs_BPO
    plain = HardwareConfig(backend="aer:manila", shots=1_000_000, processes=1, resilience_level=1, gate_twirling=True)
    without = open_simulated_backend(plain).run(*work).evs_BPO
    assert np.abs(evs[1.0001] - without).max() < 0.01 < np.abs(evs[1e6] - without).max()


def test_observables_in_several_bases_are_measured():
    spec = qgpatch_ansatz()
    random = np.random.default_rng(6)
    angles, weights = random.uniform(0, 3, (2, 1, spec.num_inputs)), random.uniform(-3, 3, (1, spec.num_weights))
    ours = open_simulated_backend(HardwareConfig(backend="aer:fez", shots=100_000, processes=1, resilience_level=0))
    theirs = open_simulated_backend(HardwareConfig(backend="fake:fez", shots=10_000, processes=1, resilience_level=0))
    found, expected = ours.run(spec, angles, weights), theirs.run(spec, angles, weights)
    assert np.abs(found.evs_BPO - expected.evs_BPO).max() < 6 * np.sqrt(2 / 10_000)


def test_what_cannot_be_simulated_is_refused(work):
    wide = QuantumCircuit(14)
    with pytest.raises(CircuitError, match=r"13 qubits.*not for 14.*fake:NAME"):
        NoisyCircuit(wide, [Parameter("x")], range(14), DeviceNoise.ideal(14))
    config = HardwareConfig(backend="aer:manila", resilience_level=2, zne_factors="1,2", processes=1)
    with pytest.raises(UsageError, match=r"--zne-factors 1,2: .*odd"):
        open_simulated_backend(config).run(*work)
