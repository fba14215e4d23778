"""Places on a chip: working qubits, chains without swaps, disjoint, cheap, and apart where the map allows it."""

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
from qgan_qiskit.hardware.layout import CalibratedCouplingMap, Interactions, place

DEVICES = ("FakeBrisbane", "FakeTorino", "FakeFez", "FakeNighthawk")


@pytest.fixture(scope="module")
def chips():
    with warnings.catch_warnings(action="ignore"):  # FakeNighthawk warns once per process
        return {name: CalibratedCouplingMap.of(getattr(fake_provider, name)().target) for name in DEVICES}


def ladder(num_qubits: int, reps: int = 2) -> Interactions:
    return Interactions.of(hybridq_ansatz(num_qubits, reps).circuit)


def target(num_qubits, errors, readout, gate=CZGate):
    """Return a device from two-qubit errors by directed pair and readout errors by qubit."""
    made = Target(num_qubits=num_qubits)
    made.add_instruction(gate(), {pair: InstructionProperties(error=error) for pair, error in errors.items()})
    made.add_instruction(Measure(), {(q,): InstructionProperties(error=error) for q, error in readout.items()})
    return made


def test_costs_are_logarithms_and_the_better_direction_counts():
    chip = CalibratedCouplingMap.of(
        target(3, {(0, 1): 0.1, (1, 0): 0.02, (1, 2): 0.3}, {0: 0.0, 1: 0.01, 2: 0.2}, CXGate)
    )
    assert chip.coupler(0, 1) == chip.coupler(1, 0) == pytest.approx(-math.log(0.98))
    assert chip.coupler(1, 2) == pytest.approx(-math.log(0.7))
    assert chip.coupler(0, 2) == math.inf
    np.testing.assert_allclose(chip.readout_cost, -np.log([1, 0.99, 0.8]))
    assert chip.neighbors == {0: (1,), 1: (0, 2), 2: (1,)}


def test_what_is_down_is_left_out_and_what_is_unknown_counts_as_the_worst():
    chip = CalibratedCouplingMap.of(
        target(5, {(0, 1): 1.0, (1, 2): 0.02, (2, 3): None, (3, 4): 0.05}, {0: 0.01, 1: 0.02, 2: 0.6, 3: None, 4: 0.03})
    )
    assert chip.coupler_cost == {(3, 4): pytest.approx(-math.log(0.95))}
    assert sorted(chip.neighbors) == [0, 1, 3, 4]
    assert chip.readout_cost[3] == pytest.approx(-math.log(0.97))
    chip = CalibratedCouplingMap.of(target(3, {(0, 1): 0.1, (1, 2): None}, {0: 0.0, 1: 0.0, 2: 0.0}))
    assert chip.coupler(1, 2) == chip.coupler(0, 1)


def test_device_without_calibration_has_no_costs():
    chip = CalibratedCouplingMap.of(GenericBackendV2(6, coupling_map=CouplingMap.from_line(6), noise_info=False).target)
    assert set(chip.coupler_cost.values()) == {0.0}
    assert len(place(chip, ladder(3), 2).places) == 2


@pytest.mark.parametrize("reps", [1, 3])
@pytest.mark.parametrize("num_qubits", [1, 2, 5])
def test_ladder_is_a_chain_however_its_qubits_are_numbered(num_qubits, reps):
    order = np.random.default_rng(num_qubits).permutation(num_qubits)
    shuffled = QuantumCircuit(num_qubits)
    shuffled.compose(hybridq_ansatz(num_qubits, reps).circuit, list(map(int, order)), inplace=True)
    chain = Interactions.of(shuffled).chain()
    assert chain in (tuple(order), tuple(order[::-1]))
    assert Interactions.of(shuffled).num_gates == reps * (num_qubits - 1)


def test_rings_stars_and_loose_qubits_are_no_chains():
    for pairs in ([(0, 1), (1, 2), (2, 0)], [(0, 1), (0, 2), (0, 3)], [(0, 1)], [(0, 1), (2, 3), (3, 4), (4, 2)]):
        circuit = QuantumCircuit(max(map(max, pairs)) + 1 + (len(pairs) == 1))
        for pair in pairs:
            circuit.cz(*pair)
        assert Interactions.of(circuit).chain() is None


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize(("num_qubits", "count"), [(10, 1), (10, 4), (10, 10), (4, 10), (16, 5)])
def test_places_are_disjoint_chains_of_working_qubits(name, num_qubits, count, chips):
    chip = chips[name]
    placement = place(chip, ladder(num_qubits, 6), count)
    assert len(placement.places) == count
    used = [qubit for qubits in placement.places for qubit in qubits]
    assert len(set(used)) == len(used) == count * num_qubits
    assert all(math.isfinite(chip.coupler(a, b)) for p in placement.places for a, b in pairwise(p))
    assert list(placement.costs) == sorted(placement.costs)
    for qubits, cost in zip(placement.places, placement.costs, strict=True):
        gates = 6 * sum(chip.coupler(a, b) for a, b in pairwise(qubits))
        assert cost == pytest.approx(gates + chip.readout_cost[list(qubits)].sum())
    owner = {qubit: copy for copy, qubits in enumerate(placement.places) for qubit in qubits}
    beside = sum(a in owner and b in owner and owner[a] != owner[b] for a, b in chip.coupler_cost)
    assert placement.beside == beside
    if count * num_qubits <= 40:
        # There is room: at most where a better chain is worth it.
        assert beside <= 2


def every_choice(chip, interactions, count):
    """Return the least total cost of disjoint chains by trying all; for small maps."""
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
    costs = [number * sum(chip.coupler(a, b) for a, b in pairwise(c)) + chip.readout_cost[c].sum() for c in chains]
    return min(
        (
            sum(costs[row] for row in rows)
            for rows in combinations(range(len(chains)), count)
            if len(set().union(*(chains[row] for row in rows))) == count * length
        ),
        default=None,
    )


@pytest.mark.parametrize("seed", range(12))
def test_no_choice_of_places_is_cheaper_by_more_than_being_apart_is_worth(seed):
    random = np.random.default_rng(seed)
    edges = CouplingMap.from_grid(3, 4).get_edges()
    errors = {pair: float(random.uniform(0, 0.2)) for pair in edges if pair[0] < pair[1] and random.random() < 0.9}
    chip = CalibratedCouplingMap.of(target(12, errors, {q: float(random.uniform(0, 0.2)) for q in range(12)}))
    interactions, count = ladder(3), int(random.integers(1, 4))
    best, placement = every_choice(chip, interactions, count), place(chip, interactions, count)
    if best is None:
        assert len(placement.places) < count
    else:
        assert len(placement.places) == count
        assert best - 1e-9 <= sum(placement.costs) <= best + 0.01 * len(errors)
        if count == 1:
            assert placement.costs[0] == pytest.approx(best)


def test_map_that_is_too_small_takes_as_many_as_fit():
    chip = CalibratedCouplingMap.of(GenericBackendV2(7, coupling_map=CouplingMap.from_line(7)).target)
    assert len(place(chip, ladder(3), 5).places) == 2
    assert place(chip, ladder(8), 1).places == ()


def test_circuits_that_are_no_chains_are_mapped_too():
    chip = CalibratedCouplingMap.of(GenericBackendV2(8, coupling_map=CouplingMap.from_grid(2, 4)).target)
    ring = QuantumCircuit(4)
    for pair in ((0, 1), (1, 2), (2, 3), (3, 0)):
        ring.cz(*pair)
    placement = place(chip, Interactions.of(ring), 3)
    assert len(placement.places) == 2
    for p in placement.places:
        assert all(math.isfinite(chip.coupler(p[a], p[b])) for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)))
    ring.cz(0, 2)
    assert place(chip, Interactions.of(ring), 1).places == ()


def test_same_calibration_gives_the_same_places(chips):
    first, second = (place(chips["FakeNighthawk"], ladder(10, 6), 8) for _ in range(2))
    assert first == second
