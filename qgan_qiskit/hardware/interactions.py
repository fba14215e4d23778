"""Which qubits of a circuit meet in two-qubit gates, and how often."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import PassManager, generate_preset_pass_manager


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
