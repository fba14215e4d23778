"""Sub-generators shared out to circuits for a device: as many on one chip as are asked for and fit.

Shape letters: P sub-generators · K weights of one sub-generator.

Circuits in a device's own gates: several sub-generators on disjoint places of one chip, as one circuit.

A place is given to the transpiler as the initial layout and it may route nothing, so no swap can be hidden in the result. The
observables are moved to the physical qubits by ``apply_layout``; a layout that they do not follow would give wrong values without
any error.

Shape letters: P sub-generators · Q inputs · K weights of one sub-generator · O observables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware.layout import CalibratedCouplingMap, Interactions, Placement, place


def packed(ansatz: CircuitSpec, weights_PK: np.ndarray, target: Target, most: int | None) -> list[PackedCircuit]:
    """Return the circuits that run all sub-generators, each of up to ``most`` of them side by side.

    Args:
        ansatz: the circuit of each.
        weights_PK: their weights, radians.
        target: the device.
        most: sub-generators on a chip; None for as many as there are.

    Raises:
        CircuitError: the circuit fits nowhere on the device without swaps.
    """
    placement = placed(ansatz, target, min(most or len(weights_PK), len(weights_PK)))
    places = placement.places
    blocks = [
        range(start, min(start + len(places), len(weights_PK))) for start in range(0, len(weights_PK), len(places))
    ]
    return [pack(ansatz, weights_PK, block, places[: len(block)], target) for block in blocks]


def placed(ansatz: CircuitSpec, target: Target, count: int) -> Placement:
    """Return places for up to ``count`` sub-generators on a device.

    Raises:
        CircuitError: there is none.
    """
    interactions = Interactions.of(ansatz.circuit)
    placement = place(CalibratedCouplingMap.of(target), interactions, count)
    if not placement.places:
        raise CircuitError(
            f"{ansatz.name}: {ansatz.num_qubits} qubits with these two-qubit gates fit nowhere on the {target.num_qubits} "
            "qubits of the device without swaps; take another device or a circuit whose qubits meet in a chain"
        )
    return placement


@dataclass(frozen=True, eq=False)
class PackedCircuit:
    """Some sub-generators on one chip.

    Attributes:
        members: which sub-generators, by number.
        places: for each member, the physical qubit of each of its qubits.
        circuit: in the device's gates, on all its qubits; weights are bound, inputs are parameters.
        parameters: the inputs of the first member in their order, then of the second, …; one without effect on the circuit
            may have left it.
        observables: those of the first member, then of the second, …; on all qubits of the device.
    """

    members: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]
    circuit: QuantumCircuit
    parameters: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]

    @property
    def num_observables(self) -> int:
        """Observables of one member."""
        return len(self.observables) // len(self.members)

    def pub(self, angles_BPQ: np.ndarray) -> tuple[QuantumCircuit, list[list[SparsePauliOp]], dict[Any, np.ndarray]]:
        """Return one PUB for all observables and images: they broadcast to (members * O, B).

        Args:
            angles_BPQ: inputs of all sub-generators, radians; those of the members are taken.
        """
        values_BX = angles_BPQ[:, list(self.members)].reshape(len(angles_BPQ), -1)
        present = set(self.circuit.parameters)
        used = [number for number, parameter in enumerate(self.parameters) if parameter in present]
        names = tuple(self.parameters[number] for number in used)
        return self.circuit, [[observable] for observable in self.observables], {names: values_BX[:, used]}


def pack(
    ansatz: CircuitSpec,
    weights_PK: np.ndarray,
    members: Sequence[int],
    places: Sequence[tuple[int, ...]],
    target: Target,
) -> PackedCircuit:
    """Write sub-generators as one circuit for a device.

    Args:
        ansatz: the circuit of each.
        weights_PK: weights of all sub-generators, radians.
        members: which of them.
        places: disjoint physical qubits for each member, on which its two-qubit gates need no swaps.
        target: the device.

    Raises:
        CircuitError: the circuit does not fit there without swaps, or the device cannot run it.
    """
    size = ansatz.num_qubits
    logical = QuantumCircuit(size * len(members))
    parameters: list[Parameter] = []
    observables: list[SparsePauliOp] = []
    for position, member in enumerate(members):
        inputs = [Parameter(f"x_{member:02d}_{number:03d}") for number in range(ansatz.num_inputs)]
        values = dict(zip(ansatz.weight_parameters, weights_PK[member].tolist(), strict=True))
        renamed = dict(zip(ansatz.input_parameters, inputs, strict=True))
        qubits = range(position * size, (position + 1) * size)
        logical.compose(ansatz.circuit.assign_parameters({**values, **renamed}), qubits, inplace=True)
        parameters += inputs
        observables += [
            observable.apply_layout(list(qubits), num_qubits=logical.num_qubits) for observable in ansatz.observables
        ]
    layout = [qubit for place in places for qubit in place]
    circuit = _transpiled(logical, layout, target)
    expected = len(members) * Interactions.of(ansatz.circuit).num_gates
    found = circuit.num_nonlocal_gates()
    if found > expected:
        raise CircuitError(f"{ansatz.name}: {found} two-qubit gates on the device instead of {expected}")
    if problem := _unsupported(circuit, target):
        raise CircuitError(f"{ansatz.name}: the device cannot run the transpiled circuit ({problem})")
    if not circuit.parameters:
        raise CircuitError(f"{ansatz.name}: its inputs have no effect, so that all images would be the same")
    moved = tuple(observable.apply_layout(circuit.layout) for observable in observables)
    return PackedCircuit(tuple(members), tuple(map(tuple, places)), circuit, tuple(parameters), moved)


def _unsupported(circuit: QuantumCircuit, target: Target) -> str:
    """Return what of a circuit without control flow the device does not have; nothing if it has all."""
    for item in circuit.data:
        name, qubits = item.operation.name, tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        if name != "barrier" and not target.instruction_supported(name, qubits):
            return f"it has no {name} on qubits {qubits}"
        angle = item.operation.params[0] if name == "rzz" else 0.0
        # Calibrated for these angles only; a little more is a rounding error.
        if not isinstance(angle, ParameterExpression) and not 0 <= angle <= math.pi / 2 + 1e-10:
            return f"its rzz takes angles from 0 to pi/2, not {angle}"
    return ""


def _transpiled(logical: QuantumCircuit, layout: list[int], target: Target) -> QuantumCircuit:
    passes = generate_preset_pass_manager(
        optimization_level=1, target=target, initial_layout=layout, routing_method="none", seed_transpiler=0
    )
    try:
        return passes.run(logical)
    except TranspilerError as error:
        raise CircuitError(f"the circuit does not fit on qubits {layout} without swaps ({error.message})") from None
