"""What a device's calibration says about its qubits: which ones work, how they are joined, and how much each one errs.

A cost is -log(1 - error), so costs of gates and readouts add up to that of a circuit, and exp(-cost) is a rough estimate of the
probability that nothing goes wrong.

Which qubits of a circuit meet in two-qubit gates, and how often.

Where on a chip circuits go: as many disjoint places as are asked for, with the least error, no swaps, and free qubits between.

All places that one circuit can have without swaps are listed (on large grids: the better part of them), and an integer program
picks disjoint ones (on large grids: quick trials do); then they are moved apart.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import rustworkx as rx
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import PassManager, Target, generate_preset_pass_manager
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from qgan_qiskit.rng import numpy_generator

_Key = TypeVar("_Key")

# Gates and readouts that err more often than this are as good as broken; IBM reports gates that are down with error 1.
_WORST = 0.5


@dataclass(frozen=True, eq=False)
class CalibratedCouplingMap:
    """A device as a weighted graph; qubits and couplers that are down are left out.

    Attributes:
        num_qubits: all qubits, also those that are down.
        neighbors: for each qubit that works, the qubits it is coupled to.
        readout_cost: -log(1 - error) of measuring each qubit, infinite where it is down.
        coupler_cost: -log(1 - error) of the two-qubit gate on each pair (low, high) that works.
    """

    num_qubits: int
    neighbors: dict[int, tuple[int, ...]]
    readout_cost: np.ndarray
    coupler_cost: dict[tuple[int, int], float]

    @classmethod
    def of(cls, target: Target) -> CalibratedCouplingMap:
        """Read a device's description; where it reports no error, the largest that it reports of that kind is taken."""
        readout = _errors({key[0]: value for key, value in _properties(target, 1, "measure")})
        pairs: dict[tuple[int, int], float | None] = {}
        for name in target.operation_names:
            for key, error in _properties(target, 2, name):
                pair = (min(key), max(key))
                # Of two directions, or two kinds of gate, the better one: the transpiler can turn a gate around.
                known = [value for value in (pairs.get(pair), error) if value is not None]
                pairs[pair] = min(known, default=None)
        readout_cost = np.full(target.num_qubits, math.inf)
        for qubit, error in readout.items():
            readout_cost[qubit] = _cost(error)
        if not readout:
            readout_cost[:] = 0.0
        working = {
            pair: cost
            for pair, error in _errors(pairs).items()
            if math.isfinite(cost := _cost(error)) and np.isfinite(readout_cost[list(pair)]).all()
        }
        neighbors: dict[int, list[int]] = {int(q): [] for q in np.flatnonzero(np.isfinite(readout_cost))}
        for low, high in sorted(working):
            neighbors[low].append(high)
            neighbors[high].append(low)
        return cls(target.num_qubits, {q: tuple(found) for q, found in neighbors.items()}, readout_cost, working)

    def coupler(self, first: int, second: int) -> float:
        """Return the cost of the two-qubit gate on a pair in either order; infinite where there is none."""
        return self.coupler_cost.get((min(first, second), max(first, second)), math.inf)


def _properties(target: Target, num_qubits: int, name: str) -> list[tuple[tuple[int, ...], float | None]]:
    """Return (qubits, error) of an operation everywhere it exists, if it acts on so many qubits."""
    if name not in target.operation_names:
        return []
    return [
        (qubits, None if properties is None else properties.error)
        for qubits, properties in target[name].items()
        if qubits is not None and len(qubits) == num_qubits
    ]


def _errors(errors: dict[_Key, float | None]) -> dict[_Key, float]:
    known = [error for error in errors.values() if error is not None and error < _WORST]
    worst = max(known, default=0.0)
    return {key: worst if error is None else error for key, error in errors.items()}


def _cost(error: float) -> float:
    return -math.log1p(-error) if error < _WORST else math.inf


@dataclass(frozen=True)
class Interactions:
    """The graph of a circuit's two-qubit gates.

    Attributes:
        num_qubits: qubits of the circuit.
        counts: number of two-qubit gates on each pair (low, high) that has any.
    """

    num_qubits: int
    counts: dict[tuple[int, int], int]

    @classmethod
    def of(cls, circuit: QuantumCircuit) -> Interactions:
        """Count the gates of a circuit after larger gates are taken apart."""
        flat = _passes().run(circuit)
        pairs = Counter(
            (min(qubits), max(qubits))
            for instruction in flat.data
            if len(qubits := [flat.find_bit(qubit).index for qubit in instruction.qubits]) == 2
            and instruction.operation.name != "barrier"
        )
        return cls(circuit.num_qubits, dict(sorted(pairs.items())))

    @property
    def num_gates(self) -> int:
        """Two-qubit gates in all."""
        return sum(self.counts.values())

    def chain(self) -> tuple[int, ...] | None:
        """Return the qubits in the order of a chain if each meets only the one before and after it, else None."""
        meets: dict[int, list[int]] = {q: [] for q in range(self.num_qubits)}
        for low, high in self.counts:
            meets[low].append(high)
            meets[high].append(low)
        if self.num_qubits == 1:
            return (0,)
        ends = [q for q, others in meets.items() if len(others) == 1]
        if len(self.counts) != self.num_qubits - 1 or len(ends) != 2 or max(map(len, meets.values())) > 2:
            return None
        order, before = [ends[0]], -1
        while len(order) < self.num_qubits:
            onward = [q for q in meets[order[-1]] if q != before]
            if not onward:
                # Two ends and a ring elsewhere.
                return None
            before = order[-1]
            order.append(onward[0])
        return tuple(order)


@functools.cache
def _passes() -> PassManager:
    return generate_preset_pass_manager(optimization_level=1, basis_gates=["cz", "rz", "sx", "x"])


# Places listed at most, and partial chains kept from each end while longer ones are sought on chips that have more.
_MOST_PLACES, _BEAM = 20_000, 48
# Two places side by side disturb each other by an unknown amount; in the choice each such pair of qubits counts as this cost.
_BESIDE = 0.01
# More than any place costs: one more place always wins over better ones.
_PLACE_WORTH = 1_000.0
_SECONDS, _GAP = 20.0, 0.01
# Beyond so many places the program is not solved in that time, and some hundred quick trials take its part.
_MOST_SOLVED, _TRIALS = 2_000, 200


@dataclass(frozen=True)
class Placement:
    """Disjoint places for copies of a circuit.

    Attributes:
        places: for each copy, the physical qubit of each of its qubits; the best copy first.
        costs: -log of each copy's estimated probability that nothing goes wrong.
        beside: couplers between qubits of different copies; 0 if there is a free qubit between all of them.
    """

    places: tuple[tuple[int, ...], ...]
    costs: tuple[float, ...]
    beside: int


def place(chip: CalibratedCouplingMap, interactions: Interactions, count: int) -> Placement:
    """Choose places for up to ``count`` copies of a circuit; the same calibration gives the same places.

    Args:
        chip: the device.
        interactions: of the circuit.
        count: copies wanted.

    Returns:
        The places, as many as fit; none where the circuit fits nowhere without swaps.
    """
    candidates = list(dict.fromkeys(_candidates(chip, interactions)))
    if not candidates:
        return Placement((), (), 0)
    costs = np.array([_cost_placement(chip, interactions, qubits) for qubits in candidates])
    chosen = _choose(chip, candidates, costs, count)
    chosen.sort(key=lambda row: (costs[row], candidates[row]))
    places = tuple(candidates[row] for row in chosen)
    return Placement(places, tuple(float(costs[row]) for row in chosen), _beside(chip, places))


def _cost_placement(chip: CalibratedCouplingMap, interactions: Interactions, qubits: tuple[int, ...]) -> float:
    gates = sum(number * chip.coupler(qubits[a], qubits[b]) for (a, b), number in interactions.counts.items())
    return gates + float(chip.readout_cost[list(qubits)].sum())


def _candidates(chip: CalibratedCouplingMap, interactions: Interactions) -> Iterator[tuple[int, ...]]:
    """Return places for the circuit, a tuple of physical qubits in the order of its own."""
    order = interactions.chain()
    if order is None:
        yield from itertools.islice(_mappings(chip, interactions), _MOST_PLACES)
        return
    where = np.argsort(order)
    for chain in _chains(chip, len(order)):
        yield tuple(chain[position] for position in where)


def _mappings(chip: CalibratedCouplingMap, interactions: Interactions) -> Iterator[tuple[int, ...]]:
    """Return the ways to map a circuit's graph into the chip's."""
    device, circuit = rx.PyGraph(), rx.PyGraph()
    device.add_nodes_from(range(chip.num_qubits))
    device.add_edges_from_no_data(list(chip.coupler_cost))
    for qubit in range(chip.num_qubits):
        if qubit not in chip.neighbors:
            device.remove_node(qubit)
    circuit.add_nodes_from(range(interactions.num_qubits))
    circuit.add_edges_from_no_data(list(interactions.counts))
    for mapping in rx.vf2_mapping(device, circuit, subgraph=True, induced=False):
        place_of = {logical: physical for physical, logical in mapping.items()}
        yield tuple(place_of[qubit] for qubit in range(interactions.num_qubits))


def _chains(chip: CalibratedCouplingMap, length: int) -> list[tuple[int, ...]]:
    """Return simple paths of so many qubits, each in one direction: all of them, or where there are too many, the better ones."""
    every = list(itertools.islice(_paths(chip, length), _MOST_PLACES + 1))
    return every if len(every) <= _MOST_PLACES else _beam(chip, length)


def _paths(chip: CalibratedCouplingMap, length: int) -> Iterator[tuple[int, ...]]:
    def longer(path: list[int]) -> Iterator[tuple[int, ...]]:
        if len(path) == length:
            if length == 1 or path[0] < path[-1]:
                yield tuple(path)
            return
        for following in chip.neighbors[path[-1]]:
            if following not in path:
                yield from longer([*path, following])

    for start in chip.neighbors:
        yield from longer([start])


def _beam(chip: CalibratedCouplingMap, length: int) -> list[tuple[int, ...]]:
    """Return chains from every qubit: of each length half the cheapest are kept, and half those that turn least.

    Cheap chains wind around bad qubits and leave gaps; straight ones can be laid side by side.
    """
    found: dict[tuple[int, ...], None] = {}
    for start in chip.neighbors:
        kept: list[tuple[float, int, tuple[int, ...]]] = [(float(chip.readout_cost[start]), 0, (start,))]
        for _ in range(length - 1):
            longer = []
            for cost, turns, path in kept:
                for following in chip.neighbors[path[-1]]:
                    if following not in path:
                        turned = len(path) > 1 and following - path[-1] != path[-1] - path[-2]
                        step = chip.coupler(path[-1], following) + float(chip.readout_cost[following])
                        longer.append((cost + step, turns + turned, (*path, following)))
            longer.sort()
            cheap = longer[: _BEAM // 2]
            straight = sorted(longer[_BEAM // 2 :], key=lambda item: (item[1], item[0]))[: _BEAM // 2]
            kept = cheap + straight
        for _, _, path in kept:
            found[path if path[0] <= path[-1] else path[::-1]] = None
    return list(found)


def _choose(
    chip: CalibratedCouplingMap, candidates: Sequence[tuple[int, ...]], costs: np.ndarray, count: int
) -> list[int]:
    """Return rows of disjoint candidates: as many as fit up to count, of little cost, and apart where that costs little."""
    covers = np.zeros((len(candidates), chip.num_qubits), dtype=np.float32)
    for row, qubits in enumerate(candidates):
        covers[row, list(qubits)] = 1
    joined = np.zeros((chip.num_qubits, chip.num_qubits), dtype=np.float32)
    for low, high in chip.coupler_cost:
        joined[low, high] = joined[high, low] = 1
    if count == 1:
        return [int(costs.argmin())]
    chosen = _solved(covers, costs, count) if len(candidates) <= _MOST_SOLVED else []
    if len(chosen) < count:
        chosen = max(chosen, _greedy(covers, joined, costs, count), key=len)
    return _apart(covers, joined, costs, chosen)


def _solved(covers: np.ndarray, costs: np.ndarray, count: int) -> list[int]:
    """Solve for the most, then the cheapest disjoint candidates; within the time, or the best found in it."""
    result = milp(
        costs - _PLACE_WORTH,
        integrality=np.ones(len(costs)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(csr_array(covers.T.astype(float)), ub=1),
            LinearConstraint(np.ones((1, len(costs))), ub=count),
        ],
        options={"time_limit": _SECONDS, "mip_rel_gap": _GAP / _PLACE_WORTH},
    )
    return [] if result.x is None else [int(row) for row in np.flatnonzero(result.x > 0.5)]


def _greedy(covers: np.ndarray, joined: np.ndarray, costs: np.ndarray, count: int) -> list[int]:
    """Take one cheap candidate after the other, again and again with another weight on leaving no gaps; return the best."""
    random = numpy_generator(0)
    best: tuple[int, float, list[int]] = (0, 0.0, [])
    for _ in range(_TRIALS):
        close, noise = random.uniform(0, 4 * _BESIDE), random.uniform(0.9, 1.1, len(costs))
        taken = np.zeros(covers.shape[1], dtype=np.float32)
        rows: list[int] = []
        while len(rows) < count:
            total = costs * noise - close * (covers @ (joined @ taken))
            total[covers @ taken > 0] = math.inf
            row = int(total.argmin())
            if not math.isfinite(total[row]):
                break
            rows.append(row)
            taken += covers[row]
        best = min(best, (-len(rows), float(costs[rows].sum()), rows))
    return best[2]


def _apart(covers: np.ndarray, joined: np.ndarray, costs: np.ndarray, chosen: list[int]) -> list[int]:
    """Move one place after the other to where cost and qubits beside other places are least, until nothing is gained."""
    moved = True
    while moved:
        moved = False
        for number, present in enumerate(chosen):
            taken = covers[[row for row in chosen if row != present]].sum(axis=0)
            total = costs + _BESIDE * (covers @ (joined @ taken))
            total[covers @ taken > 0] = math.inf
            best = int(total.argmin())
            if total[best] < total[present] - 1e-9:
                chosen[number], moved = best, True
    return chosen


def _beside(chip: CalibratedCouplingMap, places: Sequence[tuple[int, ...]]) -> int:
    owner = {qubit: copy for copy, qubits in enumerate(places) for qubit in qubits}
    return sum(low in owner and high in owner and owner[low] != owner[high] for low, high in chip.coupler_cost)
