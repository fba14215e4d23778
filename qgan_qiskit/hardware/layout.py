"""Where on a chip circuits go: disjoint layouts for copies of one circuit, without swaps, with the least calibrated error.

All swap-free layouts of the circuit are listed (on large grids: a beam of the better ones). An integer program picks disjoint
ones (where there are too many: randomized greedy search), which are then moved apart, to leave idle qubits between copies.

The cost of a gate or readout is -log(1 - error). Costs add up, and exp(-cost) estimates the probability that no error occurs.
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

_Key = TypeVar("_Key")

# Operations with a larger error count as broken; IBM reports gates that are down with error 1.
_MAX_ERROR = 0.5
# Layouts listed at most, and partial paths kept per start qubit where a chip has more.
_MAX_CANDIDATES, _BEAM_WIDTH = 20_000, 48
# Assumed cost of the unknown crosstalk over one coupler between two copies.
_CROSSTALK_COST = 0.01
# More than any layout costs, so that one more copy always beats better layouts.
_COPY_REWARD = 1_000.0
_SOLVER_SECONDS, _SOLVER_GAP = 20.0, 0.01
# The integer program is not solved in that time with more candidates; greedy search with so many trials replaces it.
_MAX_SOLVER_CANDIDATES, _GREEDY_TRIALS = 2_000, 200


@dataclass(frozen=True, eq=False)
class CalibratedCouplingMap:
    """A device as a weighted graph without the qubits and couplers that are down."""

    num_qubits: int  # all qubits, including those that are down
    neighbors: dict[int, tuple[int, ...]]  # for each working qubit, the qubits coupled to it
    readout_cost: np.ndarray  # -log(1 - error) of measuring each qubit; infinite where it is down
    coupler_cost: dict[tuple[int, int], float]  # -log(1 - error) of the two-qubit gate on each working pair (low, high)

    @classmethod
    def from_target(cls, target: Target) -> CalibratedCouplingMap:
        """Build the graph from a calibrated target; an unreported error counts as the largest reported one of its kind."""
        readout = _fill_missing({key[0]: value for key, value in _list_errors(target, 1, "measure")})
        pairs: dict[tuple[int, int], float | None] = {}
        for name in target.operation_names:
            for key, error in _list_errors(target, 2, name):
                pair = (min(key), max(key))
                # The better of two directions or gates: the transpiler can reverse a gate.
                known = [value for value in (pairs.get(pair), error) if value is not None]
                pairs[pair] = min(known, default=None)
        readout_cost = np.full(target.num_qubits, math.inf)
        for qubit, error in readout.items():
            readout_cost[qubit] = _error_cost(error)
        if not readout:
            readout_cost[:] = 0.0
        coupler_cost = {
            pair: cost
            for pair, error in _fill_missing(pairs).items()
            if math.isfinite(cost := _error_cost(error)) and np.isfinite(readout_cost[list(pair)]).all()
        }
        neighbors: dict[int, list[int]] = {int(qubit): [] for qubit in np.flatnonzero(np.isfinite(readout_cost))}
        for low, high in sorted(coupler_cost):
            neighbors[low].append(high)
            neighbors[high].append(low)
        return cls(
            target.num_qubits, {q: tuple(coupled) for q, coupled in neighbors.items()}, readout_cost, coupler_cost
        )

    def get_coupler_cost(self, first: int, second: int) -> float:
        """Return the cost of the two-qubit gate on a pair in either order; infinite where there is none."""
        return self.coupler_cost.get((min(first, second), max(first, second)), math.inf)


def _list_errors(target: Target, num_qubits: int, name: str) -> list[tuple[tuple[int, ...], float | None]]:
    """Return (qubits, error) of an operation wherever it exists, if it acts on that many qubits."""
    if name not in target.operation_names:
        return []
    return [
        (qubits, None if properties is None else properties.error)
        for qubits, properties in target[name].items()
        if qubits is not None and len(qubits) == num_qubits
    ]


def _fill_missing(errors: dict[_Key, float | None]) -> dict[_Key, float]:
    worst = max((error for error in errors.values() if error is not None and error < _MAX_ERROR), default=0.0)
    return {key: worst if error is None else error for key, error in errors.items()}


def _error_cost(error: float) -> float:
    return -math.log1p(-error) if error < _MAX_ERROR else math.inf


@dataclass(frozen=True)
class InteractionGraph:
    """Which qubits of a circuit share two-qubit gates, and how many."""

    num_qubits: int  # qubits of the circuit
    counts: dict[tuple[int, int], int]  # number of two-qubit gates on each pair (low, high) that has any

    @classmethod
    def from_circuit(cls, circuit: QuantumCircuit) -> InteractionGraph:
        """Count the two-qubit gates after larger gates are decomposed."""
        decomposed = _decomposition_passes().run(circuit)
        pairs = Counter(
            (min(qubits), max(qubits))
            for instruction in decomposed.data
            if len(qubits := [decomposed.find_bit(qubit).index for qubit in instruction.qubits]) == 2
            and instruction.operation.name != "barrier"
        )
        return cls(circuit.num_qubits, dict(sorted(pairs.items())))

    @property
    def num_gates(self) -> int:
        """Total number of two-qubit gates."""
        return sum(self.counts.values())

    def linear_order(self) -> tuple[int, ...] | None:
        """Return the qubits in path order if the graph is a path over all qubits, else None."""
        graph = rx.PyGraph()
        graph.add_nodes_from(range(self.num_qubits))
        graph.add_edges_from_no_data(list(self.counts))
        degrees = [graph.degree(qubit) for qubit in range(self.num_qubits)]
        # A connected tree without branches.
        if len(self.counts) != self.num_qubits - 1 or max(degrees) > 2 or not rx.is_connected(graph):
            return None
        order = [min(range(self.num_qubits), key=degrees.__getitem__)]
        while len(order) < self.num_qubits:
            order += [qubit for qubit in graph.neighbors(order[-1]) if qubit not in order[-2:]]
        return tuple(order)


@functools.cache
def _decomposition_passes() -> PassManager:
    return generate_preset_pass_manager(optimization_level=1, basis_gates=["cz", "rz", "sx", "x"])


@dataclass(frozen=True)
class LayoutSet:
    """Disjoint layouts for copies of a circuit."""

    layouts: tuple[tuple[int, ...], ...]  # for each copy, the physical qubit of each of its qubits; the best copy first
    costs: tuple[float, ...]  # -log of the estimated probability that a copy runs without error
    adjacent_couplers: int  # couplers between qubits of different copies


def choose_layouts(coupling_map: CalibratedCouplingMap, interactions: InteractionGraph, copies: int) -> LayoutSet:
    """Choose disjoint layouts for up to ``copies`` of a circuit; deterministic for a calibration.

    Returns:
        As many layouts as fit; none where the circuit does not fit without swaps.
    """
    candidates = list(dict.fromkeys(_list_candidates(coupling_map, interactions)))
    if not candidates:
        return LayoutSet((), (), 0)
    costs = np.array([_layout_cost(coupling_map, interactions, layout) for layout in candidates])
    rows = _choose_rows(coupling_map, candidates, costs, copies)
    rows.sort(key=lambda row: (costs[row], candidates[row]))
    layouts = tuple(candidates[row] for row in rows)
    return LayoutSet(layouts, tuple(float(costs[row]) for row in rows), _count_adjacent(coupling_map, layouts))


def _layout_cost(coupling_map: CalibratedCouplingMap, interactions: InteractionGraph, layout: tuple[int, ...]) -> float:
    gates = sum(
        count * coupling_map.get_coupler_cost(layout[a], layout[b]) for (a, b), count in interactions.counts.items()
    )
    return gates + float(coupling_map.readout_cost[list(layout)].sum())


def _list_candidates(coupling_map: CalibratedCouplingMap, interactions: InteractionGraph) -> Iterator[tuple[int, ...]]:
    """Yield swap-free layouts of the circuit."""
    order = interactions.linear_order()
    if order is None:
        yield from itertools.islice(_list_subgraphs(coupling_map, interactions), _MAX_CANDIDATES)
        return
    position = np.argsort(order)
    for path in _list_paths(coupling_map, len(order)):
        yield tuple(path[step] for step in position)


def _list_subgraphs(coupling_map: CalibratedCouplingMap, interactions: InteractionGraph) -> Iterator[tuple[int, ...]]:
    """Yield the embeddings of the circuit's graph into the chip's."""
    device, circuit = rx.PyGraph(), rx.PyGraph()
    device.add_nodes_from(range(coupling_map.num_qubits))
    device.add_edges_from_no_data(list(coupling_map.coupler_cost))
    for qubit in range(coupling_map.num_qubits):
        if qubit not in coupling_map.neighbors:
            device.remove_node(qubit)
    circuit.add_nodes_from(range(interactions.num_qubits))
    circuit.add_edges_from_no_data(list(interactions.counts))
    for mapping in rx.vf2_mapping(device, circuit, subgraph=True, induced=False):
        physical = {logical: physical for physical, logical in mapping.items()}
        yield tuple(physical[qubit] for qubit in range(interactions.num_qubits))


def _list_paths(coupling_map: CalibratedCouplingMap, length: int) -> list[tuple[int, ...]]:
    """Return the simple paths of ``length`` qubits, each in one direction: all of them, or a beam of the better ones."""
    paths = list(itertools.islice(_walk_paths(coupling_map, length), _MAX_CANDIDATES + 1))
    return paths if len(paths) <= _MAX_CANDIDATES else _beam_search(coupling_map, length)


def _walk_paths(coupling_map: CalibratedCouplingMap, length: int) -> Iterator[tuple[int, ...]]:
    def extend(path: list[int]) -> Iterator[tuple[int, ...]]:
        if len(path) == length:
            if length == 1 or path[0] < path[-1]:
                yield tuple(path)
            return
        for qubit in coupling_map.neighbors[path[-1]]:
            if qubit not in path:
                yield from extend([*path, qubit])

    for start in coupling_map.neighbors:
        yield from extend([start])


def _beam_search(coupling_map: CalibratedCouplingMap, length: int) -> list[tuple[int, ...]]:
    """Grow paths from every qubit; of each length, half of the beam are the cheapest and half the straightest.

    Cheap paths wind around bad qubits and leave gaps; straight ones tile the chip.
    """
    paths: dict[tuple[int, ...], None] = {}
    for start in coupling_map.neighbors:
        beam: list[tuple[float, int, tuple[int, ...]]] = [(float(coupling_map.readout_cost[start]), 0, (start,))]
        for _ in range(length - 1):
            longer = []
            for cost, turns, path in beam:
                for qubit in coupling_map.neighbors[path[-1]]:
                    if qubit not in path:
                        turned = len(path) > 1 and qubit - path[-1] != path[-1] - path[-2]
                        step = coupling_map.get_coupler_cost(path[-1], qubit) + float(coupling_map.readout_cost[qubit])
                        longer.append((cost + step, turns + turned, (*path, qubit)))
            longer.sort()
            cheapest = longer[: _BEAM_WIDTH // 2]
            straightest = sorted(longer[_BEAM_WIDTH // 2 :], key=lambda item: (item[1], item[0]))[: _BEAM_WIDTH // 2]
            beam = cheapest + straightest
        for _, _, path in beam:
            paths[path if path[0] <= path[-1] else path[::-1]] = None
    return list(paths)


def _choose_rows(
    coupling_map: CalibratedCouplingMap, candidates: Sequence[tuple[int, ...]], costs: np.ndarray, copies: int
) -> list[int]:
    """Return the rows of disjoint candidates: as many as fit up to ``copies``, cheap, and apart where that costs little."""
    if copies == 1:
        return [int(costs.argmin())]
    occupied = np.zeros((len(candidates), coupling_map.num_qubits), dtype=np.float32)
    for row, layout in enumerate(candidates):
        occupied[row, list(layout)] = 1
    adjacency = np.zeros((coupling_map.num_qubits, coupling_map.num_qubits), dtype=np.float32)
    for low, high in coupling_map.coupler_cost:
        adjacency[low, high] = adjacency[high, low] = 1
    rows = _solve_milp(occupied, costs, copies) if len(candidates) <= _MAX_SOLVER_CANDIDATES else []
    if len(rows) < copies:
        rows = max(rows, _search_greedily(occupied, adjacency, costs, copies), key=len)
    return _move_apart(occupied, adjacency, costs, rows)


def _solve_milp(occupied: np.ndarray, costs: np.ndarray, copies: int) -> list[int]:
    """Maximize the number of disjoint candidates, then minimize their cost; the best solution found within the time limit."""
    result = milp(
        costs - _COPY_REWARD,
        integrality=np.ones(len(costs)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(csr_array(occupied.T.astype(float)), ub=1),
            LinearConstraint(np.ones((1, len(costs))), ub=copies),
        ],
        options={"time_limit": _SOLVER_SECONDS, "mip_rel_gap": _SOLVER_GAP / _COPY_REWARD},
    )
    return [] if result.x is None else [int(row) for row in np.flatnonzero(result.x > 0.5)]


def _search_greedily(occupied: np.ndarray, adjacency: np.ndarray, costs: np.ndarray, copies: int) -> list[int]:
    """Add the cheapest free candidate until none is left, with a random reward for close packing; return the best trial."""
    rng = np.random.default_rng(0)
    best: tuple[int, float, list[int]] = (0, 0.0, [])
    for _ in range(_GREEDY_TRIALS):
        packing_reward, noise = rng.uniform(0, 4 * _CROSSTALK_COST), rng.uniform(0.9, 1.1, len(costs))
        taken = np.zeros(occupied.shape[1], dtype=np.float32)
        rows: list[int] = []
        while len(rows) < copies:
            total = costs * noise - packing_reward * (occupied @ (adjacency @ taken))
            total[occupied @ taken > 0] = math.inf
            row = int(total.argmin())
            if not math.isfinite(total[row]):
                break
            rows.append(row)
            taken += occupied[row]
        best = min(best, (-len(rows), float(costs[rows].sum()), rows))
    return best[2]


def _move_apart(occupied: np.ndarray, adjacency: np.ndarray, costs: np.ndarray, rows: list[int]) -> list[int]:
    """Move one copy at a time to the least cost plus crosstalk, until no move gains anything."""
    moved = True
    while moved:
        moved = False
        for copy, current in enumerate(rows):
            taken = occupied[[row for row in rows if row != current]].sum(axis=0)
            total = costs + _CROSSTALK_COST * (occupied @ (adjacency @ taken))
            total[occupied @ taken > 0] = math.inf
            best = int(total.argmin())
            if total[best] < total[current] - 1e-9:
                rows[copy], moved = best, True
    return rows


def _count_adjacent(coupling_map: CalibratedCouplingMap, layouts: Sequence[tuple[int, ...]]) -> int:
    copy_of = {qubit: copy for copy, layout in enumerate(layouts) for qubit in layout}
    return sum(
        low in copy_of and high in copy_of and copy_of[low] != copy_of[high] for low, high in coupling_map.coupler_cost
    )
