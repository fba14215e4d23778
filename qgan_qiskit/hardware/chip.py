"""What a device's calibration says about its qubits: which ones work, how they are joined, and how much each one errs.

A cost is -log(1 - error), so costs of gates and readouts add up to that of a circuit, and exp(-cost) is a rough estimate of the
probability that nothing goes wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from qiskit.transpiler import Target

_Key = TypeVar("_Key")

# Gates and readouts that err more often than this are as good as broken; IBM reports gates that are down with error 1.
_WORST = 0.5


@dataclass(frozen=True, eq=False)
class Chip:
    """A device as a weighted graph; qubits and couplers that are down are left out.

    Attributes:
        num_qubits: all qubits, also those that are down.
        neighbours: for each qubit that works, the qubits it is coupled to.
        readout_cost: -log(1 - error) of measuring each qubit, infinite where it is down.
        coupler_cost: -log(1 - error) of the two-qubit gate on each pair (low, high) that works.
    """

    num_qubits: int
    neighbours: dict[int, tuple[int, ...]]
    readout_cost: np.ndarray
    coupler_cost: dict[tuple[int, int], float]

    @classmethod
    def of(cls, target: Target) -> Chip:
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
        neighbours: dict[int, list[int]] = {int(q): [] for q in np.flatnonzero(np.isfinite(readout_cost))}
        for low, high in sorted(working):
            neighbours[low].append(high)
            neighbours[high].append(low)
        return cls(target.num_qubits, {q: tuple(found) for q, found in neighbours.items()}, readout_cost, working)

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
