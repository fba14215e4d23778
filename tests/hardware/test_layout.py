"""Layouts on a chip: working qubits, paths without swaps, disjoint, cheap, and apart where the chip allows it."""

from __future__ import annotations

import math
import warnings
from itertools import combinations, pairwise

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import CXGate, CZGate, Measure
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap, InstructionProperties, Target
from qiskit_ibm_runtime import fake_provider

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.hardware.layout import CalibratedCouplingMap, InteractionGraph, choose_layouts

DEVICES = ("FakeBrisbane", "FakeTorino", "FakeFez", "FakeNighthawk")


@pytest.fixture(scope="module")
def chips():
    with warnings.catch_warnings(action="ignore"):  # FakeNighthawk warns once per process
        return {name: CalibratedCouplingMap.from_target(getattr(fake_provider, name)().target) for name in DEVICES}


def ladder(num_qubits: int, reps: int = 2) -> InteractionGraph:
    return InteractionGraph.from_circuit(hybridq_ansatz(num_qubits, reps).circuit)


def target(num_qubits, errors, readout, gate=CZGate):
    """Return a device from two-qubit errors by directed pair and readout errors by qubit."""
    made = Target(num_qubits=num_qubits)
    made.add_instruction(gate(), {pair: InstructionProperties(error=error) for pair, error in errors.items()})
    made.add_instruction(Measure(), {(q,): InstructionProperties(error=error) for q, error in readout.items()})
    return made


def test_costs_are_logarithms_and_the_better_direction_counts():
    chip = CalibratedCouplingMap.from_target(
        target(3, {(0, 1): 0.1, (1, 0): 0.02, (1, 2): 0.3}, {0: 0.0, 1: 0.01, 2: 0.2}, CXGate)
    )
    assert chip.get_coupler_cost(0, 1) == chip.get_coupler_cost(1, 0) == pytest.approx(-math.log(0.98))
    assert chip.get_coupler_cost(1, 2) == pytest.approx(-math.log(0.7))
    assert chip.get_coupler_cost(0, 2) == math.inf
    np.testing.assert_allclose(chip.readout_cost, -np.log([1, 0.99, 0.8]))
    assert chip.neighbors == {0: (1,), 1: (0, 2), 2: (1,)}


def test_broken_qubits_are_left_out_and_unknown_errors_count_as_the_worst():
    chip = CalibratedCouplingMap.from_target(
        target(5, {(0, 1): 1.0, (1, 2): 0.02, (2, 3): None, (3, 4): 0.05}, {0: 0.01, 1: 0.02, 2: 0.6, 3: None, 4: 0.03})
    )
    assert chip.coupler_cost == {(3, 4): pytest.approx(-math.log(0.95))}
    assert sorted(chip.neighbors) == [0, 1, 3, 4]
    assert chip.readout_cost[3] == pytest.approx(-math.log(0.97))
    chip = CalibratedCouplingMap.from_target(target(3, {(0, 1): 0.1, (1, 2): None}, {0: 0.0, 1: 0.0, 2: 0.0}))
    assert chip.get_coupler_cost(1, 2) == chip.get_coupler_cost(0, 1)


def test_device_without_calibration_has_no_costs():
    chip = CalibratedCouplingMap.from_target(
        GenericBackendV2(6, coupling_map=CouplingMap.from_line(6), noise_info=False).target
    )
    assert set(chip.coupler_cost.values()) == {0.0}
    assert len(choose_layouts(chip, ladder(3), 2).layouts) == 2


@pytest.mark.parametrize("reps", [1, 3])
@pytest.mark.parametrize("num_qubits", [1, 2, 5])
def test_ladder_is_a_path_however_its_qubits_are_numbered(num_qubits, reps):
    order = np.random.default_rng(num_qubits).permutation(num_qubits)
    shuffled = QuantumCircuit(num_qubits)
    shuffled.compose(hybridq_ansatz(num_qubits, reps).circuit, list(map(int, order)), inplace=True)
    chain = InteractionGraph.from_circuit(shuffled).linear_order()
    assert chain in (tuple(order), tuple(order[::-1]))
    assert InteractionGraph.from_circuit(shuffled).num_gates == reps * (num_qubits - 1)


def test_rings_stars_and_isolated_qubits_are_no_paths():
    for pairs in ([(0, 1), (1, 2), (2, 0)], [(0, 1), (0, 2), (0, 3)], [(0, 1)], [(0, 1), (2, 3), (3, 4), (4, 2)]):
        circuit = QuantumCircuit(max(map(max, pairs)) + 1 + (len(pairs) == 1))
        for pair in pairs:
            circuit.cz(*pair)
        assert InteractionGraph.from_circuit(circuit).linear_order() is None


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize(("num_qubits", "count"), [(10, 1), (10, 10), (4, 10), (16, 5)])
def test_layouts_are_disjoint_paths_of_working_qubits(name, num_qubits, count, chips):
    chip = chips[name]
    found = choose_layouts(chip, ladder(num_qubits, 6), count)
    assert len(found.layouts) == count
    used = [qubit for qubits in found.layouts for qubit in qubits]
    assert len(set(used)) == len(used) == count * num_qubits
    assert all(math.isfinite(chip.get_coupler_cost(a, b)) for p in found.layouts for a, b in pairwise(p))
    assert list(found.costs) == sorted(found.costs)
    for qubits, cost in zip(found.layouts, found.costs, strict=True):
        gates = 6 * sum(chip.get_coupler_cost(a, b) for a, b in pairwise(qubits))
        assert cost == pytest.approx(gates + chip.readout_cost[list(qubits)].sum())
    owner = {qubit: copy for copy, qubits in enumerate(found.layouts) for qubit in qubits}
    adjacent = sum(a in owner and b in owner and owner[a] != owner[b] for a, b in chip.coupler_cost)
    assert found.adjacent_couplers == adjacent
    if count * num_qubits <= 40:
        # There is room: at most where a better path is worth it.
        assert adjacent <= 2


def exhaustive_minimum(chip, interactions, count):
    """Return the least total cost of disjoint paths by exhaustive search; for small chips."""
    length = interactions.num_qubits

    def paths(path):
        if len(path) == length:
            yield path
        else:
            for q in chip.neighbors[path[-1]]:
                if q not in path:
                    yield from paths([*path, q])

    chains = [path for q in chip.neighbors for path in paths([q]) if path[0] <= path[-1]]
    number = next(iter(interactions.counts.values()))
    costs = [
        number * sum(chip.get_coupler_cost(a, b) for a, b in pairwise(c)) + chip.readout_cost[c].sum() for c in chains
    ]
    return min(
        (
            sum(costs[row] for row in rows)
            for rows in combinations(range(len(chains)), count)
            if len(set().union(*(chains[row] for row in rows))) == count * length
        ),
        default=None,
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_other_layouts_are_cheaper_by_more_than_crosstalk(seed):
    random = np.random.default_rng(seed)
    edges = CouplingMap.from_grid(3, 4).get_edges()
    errors = {pair: float(random.uniform(0, 0.2)) for pair in edges if pair[0] < pair[1] and random.random() < 0.9}
    chip = CalibratedCouplingMap.from_target(target(12, errors, {q: float(random.uniform(0, 0.2)) for q in range(12)}))
    interactions, count = ladder(3), int(random.integers(1, 4))
    best, found = exhaustive_minimum(chip, interactions, count), choose_layouts(chip, interactions, count)
    if best is None:
        assert len(found.layouts) < count
    else:
        assert len(found.layouts) == count
        assert best - 1e-9 <= sum(found.costs) <= best + 0.01 * len(errors)
        if count == 1:
            assert found.costs[0] == pytest.approx(best)


def test_small_chip_takes_as_many_as_fit():
    chip = CalibratedCouplingMap.from_target(GenericBackendV2(7, coupling_map=CouplingMap.from_line(7)).target)
    assert len(choose_layouts(chip, ladder(3), 5).layouts) == 2
    assert choose_layouts(chip, ladder(8), 1).layouts == ()


def test_circuits_that_are_no_paths_are_embedded():
    chip = CalibratedCouplingMap.from_target(GenericBackendV2(8, coupling_map=CouplingMap.from_grid(2, 4)).target)
    ring = QuantumCircuit(4)
    for pair in ((0, 1), (1, 2), (2, 3), (3, 0)):
        ring.cz(*pair)
    found = choose_layouts(chip, InteractionGraph.from_circuit(ring), 3)
    assert len(found.layouts) == 2
    for p in found.layouts:
        assert all(math.isfinite(chip.get_coupler_cost(p[a], p[b])) for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)))
    ring.cz(0, 2)
    assert choose_layouts(chip, InteractionGraph.from_circuit(ring), 1).layouts == ()


def test_same_calibration_gives_the_same_layouts(chips):
    first, second = (choose_layouts(chips["FakeNighthawk"], ladder(10, 6), 8) for _ in range(2))
    assert first == second
