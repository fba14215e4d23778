"""Sub-generators packed into ISA circuits: several on disjoint layouts of one chip, and split again for simulation.

The layout is given to the transpiler, which must not route, so that no swap can be hidden in the result. ``apply_layout`` moves
the observables to the physical qubits; observables that do not follow the layout would give wrong values without any error.

Packed sub-generators share no gate, so a simulator can run them one by one: ten circuits of ten qubits instead of one of a
hundred. This leaves out crosstalk, which calibrations do not contain.

Shape letters: B images · P sub-generators · Q inputs (radians) · K weights (radians) · O observables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rustworkx as rx
from qiskit.circuit import Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware.layout import CalibratedCouplingMap, InteractionGraph, LayoutSet, choose_layouts


@dataclass(frozen=True, eq=False)
class PackedCircuit:
    """Several sub-generators as one ISA circuit."""

    members: tuple[int, ...]  # indices of the sub-generators
    layouts: tuple[tuple[int, ...], ...]  # for each member, the physical qubit of each of its qubits
    circuit: QuantumCircuit  # on all qubits of the device; weights are bound, inputs are parameters
    # the inputs of the first member in order, then of the second, …; the circuit may lack one without effect
    parameters: tuple[Parameter, ...]
    # those of the first member, then of the second, …; on all qubits of the device
    observables: tuple[SparsePauliOp, ...]

    @property
    def num_observables(self) -> int:
        """Number of observables of one member."""
        return len(self.observables) // len(self.members)

    def build_pub(self, angles_BPQ: np.ndarray) -> tuple[Any, ...]:
        """Return one PUB of all observables and images, which broadcast to (members * O, B)."""
        angles_BX = angles_BPQ[:, list(self.members)].reshape(len(angles_BPQ), -1)
        return build_pub(self.circuit, self.parameters, self.observables, angles_BX)


def build_pub(
    circuit: QuantumCircuit,
    parameters: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
    values_BX: np.ndarray,
) -> tuple[Any, ...]:
    """Return an Estimator PUB of shape (observables, B); values of parameters that the circuit lacks are dropped."""
    present = set(circuit.parameters)
    used = [index for index, parameter in enumerate(parameters) if parameter in present]
    bindings = {tuple(parameters[index] for index in used): values_BX[:, used]}
    return circuit, [[observable] for observable in observables], bindings


def find_layouts(spec: CircuitSpec, target: Target, copies: int) -> LayoutSet:
    """Return layouts for up to ``copies`` sub-generators on a device, at least one.

    Raises:
        CircuitError: there is none without swaps.
    """
    interactions = InteractionGraph.from_circuit(spec.circuit)
    layouts = choose_layouts(CalibratedCouplingMap.from_target(target), interactions, copies)
    if not layouts.layouts:
        raise CircuitError(
            f"{spec.name}: {spec.num_qubits} qubits with these two-qubit gates do not fit on the {target.num_qubits} qubits "
            "of the device without swaps; take another device or a circuit whose qubits interact in a chain"
        )
    return layouts


def pack_sub_generators(
    spec: CircuitSpec, weights_PK: np.ndarray, target: Target, max_members: int | None
) -> list[PackedCircuit]:
    """Return the circuits that run all sub-generators.

    Args:
        spec: the circuit of each.
        weights_PK: their weights, radians.
        target: the device.
        max_members: sub-generators per circuit at most; None for as many as fit.

    Raises:
        CircuitError: the circuit does not fit on the device without swaps.
    """
    count = len(weights_PK)
    layouts = find_layouts(spec, target, min(max_members or count, count)).layouts
    groups = [range(start, min(start + len(layouts), count)) for start in range(0, count, len(layouts))]
    return [pack_circuit(spec, weights_PK, members, layouts[: len(members)], target) for members in groups]


def pack_circuit(
    spec: CircuitSpec,
    weights_PK: np.ndarray,
    members: Sequence[int],
    layouts: Sequence[tuple[int, ...]],
    target: Target,
) -> PackedCircuit:
    """Transpile some sub-generators as one circuit.

    Args:
        spec: the circuit of each.
        weights_PK: weights of all sub-generators, radians.
        members: indices of the sub-generators.
        layouts: disjoint physical qubits for each member, on which it needs no swaps.
        target: the device.

    Raises:
        CircuitError: the circuit needs swaps there, or the device cannot run it.
    """
    size = spec.num_qubits
    logical = QuantumCircuit(size * len(members))
    parameters: list[Parameter] = []
    observables: list[SparsePauliOp] = []
    for position, member in enumerate(members):
        inputs = [Parameter(f"x_{member:02d}_{index:03d}") for index in range(spec.num_inputs)]
        bindings = dict(zip(spec.weight_parameters, weights_PK[member].tolist(), strict=True))
        renamed = dict(zip(spec.input_parameters, inputs, strict=True))
        qubits = range(position * size, (position + 1) * size)
        logical.compose(spec.circuit.assign_parameters({**bindings, **renamed}), qubits, inplace=True)
        parameters += inputs
        observables += [
            observable.apply_layout(list(qubits), num_qubits=logical.num_qubits) for observable in spec.observables
        ]
    circuit = _transpile(logical, [qubit for layout in layouts for qubit in layout], target)
    expected = len(members) * InteractionGraph.from_circuit(spec.circuit).num_gates
    if (gates := circuit.num_nonlocal_gates()) > expected:
        raise CircuitError(f"{spec.name}: {gates} two-qubit gates on the device instead of {expected}")
    if problem := _find_unsupported(circuit, target):
        raise CircuitError(f"{spec.name}: the device cannot run the transpiled circuit ({problem})")
    if not circuit.parameters:
        raise CircuitError(f"{spec.name}: its inputs have no effect, so all images would be the same")
    moved = tuple(observable.apply_layout(circuit.layout) for observable in observables)
    return PackedCircuit(tuple(members), tuple(map(tuple, layouts)), circuit, tuple(parameters), moved)


def _transpile(logical: QuantumCircuit, layout: list[int], target: Target) -> QuantumCircuit:
    passes = generate_preset_pass_manager(
        optimization_level=1, target=target, initial_layout=layout, routing_method="none", seed_transpiler=0
    )
    try:
        return passes.run(logical)
    except TranspilerError as error:
        raise CircuitError(f"the circuit does not fit on qubits {layout} without swaps ({error.message})") from None


def _find_unsupported(circuit: QuantumCircuit, target: Target) -> str:
    """Return a sentence about an instruction that the device lacks; empty if it has all."""
    for item in circuit.data:
        name, qubits = item.operation.name, tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        if name != "barrier" and not target.instruction_supported(name, qubits):
            return f"it has no {name} on qubits {qubits}"
        angle = item.operation.params[0] if name == "rzz" else 0.0
        # Fractional gates are calibrated for these angles only; the margin is for rounding.
        if not isinstance(angle, ParameterExpression) and not 0 <= angle <= math.pi / 2 + 1e-10:
            return f"its rzz takes angles from 0 to pi/2, not {angle}"
    return ""


def split_circuit(circuit: QuantumCircuit) -> dict[tuple[int, ...], QuantumCircuit]:
    """Return the subcircuit of each set of qubits connected by gates, by its ascending qubits; idle qubits are left out.

    The qubits of a subcircuit are renumbered from 0.
    """
    graph = rx.PyGraph()
    graph.add_nodes_from(range(circuit.num_qubits))
    qubits_of = [[circuit.find_bit(qubit).index for qubit in instruction.qubits] for instruction in circuit.data]
    for first, *others in qubits_of:
        graph.add_edges_from_no_data([(first, other) for other in others])
    used = {qubit for qubits in qubits_of for qubit in qubits}
    components = [tuple(sorted(component)) for component in rx.connected_components(graph) if component & used]
    subcircuits = {qubits: QuantumCircuit(len(qubits)) for qubits in sorted(components)}
    component_of = {qubit: component for component in components for qubit in component}
    for instruction, qubits in zip(circuit.data, qubits_of, strict=True):
        component = component_of[qubits[0]]
        subcircuits[component].append(instruction.operation, [component.index(qubit) for qubit in qubits])
    return subcircuits


def restrict_observable(observable: SparsePauliOp, qubits: Sequence[int]) -> SparsePauliOp:
    """Return an observable on some qubits only, renumbered from 0.

    Raises:
        ValueError: it acts on another qubit.
    """
    index = {qubit: position for position, qubit in enumerate(qubits)}
    try:
        terms = [
            (paulis, [index[qubit] for qubit in support], coefficient)
            for paulis, support, coefficient in observable.to_sparse_list()
        ]
    except KeyError as error:
        raise ValueError(f"the observable acts on qubit {error.args[0]}, which is not among {list(qubits)}") from None
    return SparsePauliOp.from_sparse_list(terms, len(qubits))
