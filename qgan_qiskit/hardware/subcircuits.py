"""Parts of a device circuit that never meet, and the part of a device that each runs on.

Sub-generators packed on one chip share no gate, so they can be simulated one by one: ten circuits on ten qubits each instead of
one on a hundred, which no simulator holds. This leaves out what real chips have and calibrations do not tell: cross-talk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rustworkx as rx
from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target


def parts(circuit: QuantumCircuit) -> list[tuple[tuple[int, ...], QuantumCircuit]]:
    """Return the qubits (rising) and the circuit of each set of qubits that gates connect; idle qubits are left out."""
    joined = rx.PyGraph()
    joined.add_nodes_from(range(circuit.num_qubits))
    busy = set()
    for instruction in circuit.data:
        first, *others = (circuit.find_bit(qubit).index for qubit in instruction.qubits)
        busy |= {first, *others}
        joined.add_edges_from_no_data([(first, other) for other in others])
    found = []
    for members in rx.connected_components(joined):
        if members & busy:
            qubits = tuple(sorted(members))
            found.append((qubits, _only(circuit, qubits)))
    return sorted(found, key=lambda item: item[0])


def _only(circuit: QuantumCircuit, qubits: tuple[int, ...]) -> QuantumCircuit:
    """Return the instructions on some qubits, renumbered from 0 on."""
    number = {qubit: position for position, qubit in enumerate(qubits)}
    part = QuantumCircuit(len(qubits))
    for instruction in circuit.data:
        places = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        if places[0] in number:
            part.append(instruction.operation, [number[place] for place in places])
    return part


def on_qubits(observable: SparsePauliOp, qubits: Sequence[int]) -> SparsePauliOp:
    """Return an observable on some qubits, renumbered from 0 on.

    Raises:
        ValueError: it acts on another qubit.
    """
    number = {qubit: position for position, qubit in enumerate(qubits)}
    try:
        terms = [
            (pauli, [number[qubit] for qubit in places], coefficient)
            for pauli, places, coefficient in observable.to_sparse_list()
        ]
    except KeyError as error:
        raise ValueError(f"the observable acts on qubit {error.args[0]}, which is not among {list(qubits)}") from None
    return SparsePauliOp.from_sparse_list(terms, len(qubits))


class DevicePart(BackendV2):
    """Some qubits of a device, renumbered, with the calibration that they have there; for simulators to take the noise from."""

    def __init__(self, device: BackendV2, qubits: Sequence[int]) -> None:
        """Cut a part out.

        Args:
            device: with gates that are instances, not only classes.
            qubits: physical qubits, renumbered from 0 on.
        """
        super().__init__(name=f"{device.name}_part")
        number = {qubit: position for position, qubit in enumerate(qubits)}
        whole, every = device.target, device.target.qubit_properties
        self._target = Target(
            num_qubits=len(qubits),
            dt=whole.dt,
            qubit_properties=None if every is None else [every[qubit] for qubit in qubits],
        )
        for name in whole.operation_names:
            operation = whole.operation_from_name(name)
            # Control flow is there as a class; circuits here have none.
            if isinstance(operation, type):
                continue
            known = {
                tuple(number[qubit] for qubit in places): properties
                for places, properties in whole[name].items()
                if places is not None and all(qubit in number for qubit in places)
            }
            if known:
                self._target.add_instruction(operation, known)

    @property
    def target(self) -> Target:
        """Gates and calibration of the part."""
        return self._target

    @property
    def max_circuits(self) -> int | None:
        """No limit."""
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        """Run nothing: a part is a description.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a part of a device is only described; give it to AerSimulator.from_backend")
