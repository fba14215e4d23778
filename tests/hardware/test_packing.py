"""Packed ISA circuits give the expectation values of the original circuits, on any layout, without swaps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_ibm_runtime import fake_provider
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qgan_qiskit.circuits import CircuitSpec, hybridq_ansatz, qgpatch_ansatz
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware.layout import CalibratedCouplingMap
from qgan_qiskit.hardware.packing import find_layouts, pack_circuit, restrict_observable, split_circuit
from qgan_qiskit.simulation import ExactEstimator

DEVICES = ("FakeBrisbane", "FakeTorino", "FakeNighthawk")
LAYOUTS = 12


@pytest.fixture(scope="module")
def devices():
    with warnings.catch_warnings(action="ignore"):  # FakeNighthawk warns once per process
        return {name: getattr(fake_provider, name)() for name in (*DEVICES, "FakeFez")}


def random_paths(
    chip: CalibratedCouplingMap, length: int, count: int, random: np.random.Generator
) -> list[tuple[int, ...]]:
    """Return random walks, whatever their errors: other layouts each time."""
    taken: set[int] = set()
    paths: list[tuple[int, ...]] = []
    while len(paths) < count:
        path = [int(random.choice(list(chip.neighbors)))]
        while len(path) < length and (
            onward := [q for q in chip.neighbors[path[-1]] if q not in path and q not in taken]
        ):
            path.append(int(random.choice(onward)))
        if len(path) == length and not taken & set(path):
            paths.append(tuple(path))
            taken |= set(path)
    return paths


def exact(spec: CircuitSpec, weights_K: np.ndarray, inputs_NQ: np.ndarray) -> np.ndarray:
    """Return expectation values (N, O) of the original circuit."""
    rows = []
    for inputs in inputs_NQ:
        values = dict(zip((*spec.input_parameters, *spec.weight_parameters), (*inputs, *weights_K), strict=True))
        state = Statevector(spec.circuit.assign_parameters(values))
        rows.append([state.expectation_value(observable).real for observable in spec.observables])
    return np.array(rows)


def member_values(packed, member: int, inputs_NQ: np.ndarray, num_observables: int) -> np.ndarray:
    """Return expectation values (N, O) of one member of a packed circuit, from its own subcircuit."""
    qubits = tuple(sorted(packed.layouts[member]))
    circuit = split_circuit(packed.circuit)[qubits]
    names = packed.parameters[member * inputs_NQ.shape[1] : (member + 1) * inputs_NQ.shape[1]]
    observables = packed.observables[member * num_observables : (member + 1) * num_observables]
    own = [restrict_observable(observable, qubits) for observable in observables]
    rows = []
    for inputs in inputs_NQ:
        state = Statevector(circuit.assign_parameters(dict(zip(names, inputs, strict=True))))
        rows.append([state.expectation_value(observable).real for observable in own])
    return np.array(rows)


@pytest.mark.parametrize("name", DEVICES)
def test_packed_single_and_exact_values_agree_on_random_layouts(name, devices):
    target = devices[name].target
    chip, random = CalibratedCouplingMap.from_target(target), np.random.default_rng(len(name))
    for layout in range(LAYOUTS):
        qubits, reps, count = int(random.integers(2, 6)), int(random.integers(1, 4)), int(random.integers(2, 4))
        encoding, entangler, readout = ("ry", "cx", "z") if layout % 2 else ("ry_rx", "cz", "x")
        spec = hybridq_ansatz(qubits, reps, encoding=encoding, entangler=entangler, readout=readout)
        weights_PK = random.uniform(-3, 3, (count, spec.num_weights))
        inputs_NPQ = random.uniform(0, 3, (2, count, qubits))
        layouts = random_paths(chip, qubits, count, random)
        together = pack_circuit(spec, weights_PK, range(count), layouts, target)
        assert together.circuit.num_nonlocal_gates() == count * reps * (qubits - 1)
        assert "swap" not in together.circuit.count_ops()
        for member in range(count):
            truth = exact(spec, weights_PK[member], inputs_NPQ[:, member])
            ours = member_values(together, member, inputs_NPQ[:, member], qubits)
            np.testing.assert_allclose(ours, truth, rtol=0, atol=1e-10)
        # The last one also alone, and through EstimatorQNN on its subcircuit.
        alone = pack_circuit(spec, weights_PK, [member], [layouts[member]], target)
        single = member_values(alone, 0, inputs_NPQ[:, member], qubits)
        own = tuple(sorted(layouts[member]))
        by_hand = EstimatorQNN(
            circuit=split_circuit(alone.circuit)[own],
            estimator=ExactEstimator(),
            observables=[restrict_observable(observable, own) for observable in alone.observables],
            input_params=list(alone.parameters),
            weight_params=[],
        ).forward(inputs_NPQ[:, member], [])
        for found in (single, by_hand):
            np.testing.assert_allclose(found, truth, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["FakeBrisbane", "FakeTorino", "FakeFez", "FakeNighthawk"])
def test_ten_sub_generators_fill_a_chip_at_the_depth_of_one(name, devices):
    spec, target = hybridq_ansatz(10, 6), devices[name].target
    random = np.random.default_rng(0)
    weights_PK = random.uniform(-3, 3, (10, spec.num_weights))
    layouts = find_layouts(spec, target, 10).layouts
    packed = pack_circuit(spec, weights_PK, range(10), layouts, target)
    assert packed.circuit.num_nonlocal_gates() == 10 * 54
    assert packed.circuit.depth(lambda instruction: len(instruction.qubits) == 2) == 19
    assert len(packed.parameters) == len(packed.observables) == 100
    inputs_PQ = random.uniform(0, 3, (10, 10))
    for member in (0, 4, 9):
        found = member_values(packed, member, inputs_PQ[[member]], 10)
        np.testing.assert_allclose(found, exact(spec, weights_PK[member], inputs_PQ[[member]]), rtol=0, atol=1e-10)


def test_probabilities_with_ancillas_follow_the_layout(devices):
    spec, target = qgpatch_ansatz(4, 2, num_ancillas=1), devices["FakeTorino"].target
    random = np.random.default_rng(1)
    weights_PK = random.uniform(-3, 3, (2, spec.num_weights))
    layouts = find_layouts(spec, target, 2).layouts
    packed = pack_circuit(spec, weights_PK, [0, 1], layouts, target)
    inputs = random.uniform(0, 1, (1, spec.num_inputs))
    for member in range(2):
        found = member_values(packed, member, inputs, spec.num_observables)
        np.testing.assert_allclose(found, exact(spec, weights_PK[member], inputs), rtol=0, atol=1e-10)


def test_layout_that_needs_swaps_is_refused(devices):
    spec, target = hybridq_ansatz(3, 1), devices["FakeTorino"].target
    with pytest.raises(CircuitError, match=r"\[0, 5, 90\] without swaps"):
        pack_circuit(spec, np.zeros((1, 3)), [0], [(0, 5, 90)], target)


def canceling_spec(more: bool) -> CircuitSpec:
    """Return a circuit whose first input cancels out."""
    x, y, theta = Parameter("x_000"), Parameter("x_001"), Parameter("theta_000")
    circuit = QuantumCircuit(2)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    circuit.rz(x, 1)
    circuit.rz(-x, 1)
    if more:
        circuit.ry(y, 1)
    inputs = (x, y) if more else (x,)
    return CircuitSpec("loose", circuit, inputs, (theta,), (SparsePauliOp("ZI"),))


def test_input_without_effect_is_left_out_of_the_pub(devices):
    spec, target = canceling_spec(True), devices["FakeTorino"].target
    layouts = find_layouts(spec, target, 1).layouts
    packed = pack_circuit(spec, np.array([[0.4]]), [0], layouts, target)
    circuit, observables, values = packed.build_pub(np.arange(6.0).reshape(3, 1, 2))
    ((names, numbers),) = values.items()
    assert set(names) == set(circuit.parameters)
    if len(names) == 1:
        np.testing.assert_array_equal(numbers, [[1], [3], [5]])
    assert len(observables) == 1


def test_circuit_whose_inputs_all_cancel_is_refused(devices):
    spec, target = canceling_spec(False), devices["FakeTorino"].target
    layouts = find_layouts(spec, target, 1).layouts
    try:
        packed = pack_circuit(spec, np.array([[0.4]]), [0], layouts, target)
    except CircuitError as error:
        assert "inputs have no effect" in str(error)
    else:
        # Another version of the transpiler may not notice.
        assert packed.circuit.parameters


def test_observable_on_other_qubits_is_refused():
    assert restrict_observable(SparsePauliOp("IZX"), [0, 1]) == SparsePauliOp("ZX")
    assert restrict_observable(SparsePauliOp("IZXI"), [2, 1]) == SparsePauliOp("XZ")
    with pytest.raises(ValueError, match="qubit 2"):
        restrict_observable(SparsePauliOp("ZII"), [0, 1])


def test_subcircuits_leave_idle_qubits_out_and_keep_the_order_of_gates():
    circuit = QuantumCircuit(6)
    circuit.h(4)
    circuit.cx(4, 1)
    circuit.x(3)
    circuit.cx(1, 4)
    (first, left), (second, right) = split_circuit(circuit).items()
    assert (first, second) == ((1, 4), (3,))
    expected = QuantumCircuit(2)
    expected.h(1)
    expected.cx(1, 0)
    expected.cx(0, 1)
    assert left == expected
    assert right.count_ops() == {"x": 1}
