"""From a circuit to its engine: choose, compile, and keep compiled engines for when the circuit is met again.

Angles that are not affine are computed in torch before the engine, which takes each as one more input or weight
(:class:`ExpressionEngine`). Expressions of one form, such as all ``2*(pi - x_i)*(pi - x_j)`` of a feature map, are computed
together on stacked columns.

Shape letters: P instances · B batch · Q inputs · K weights · D expressions.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from functools import reduce
from threading import Lock

import numpy as np
import torch
from qiskit.circuit import AnnotatedOperation, Instruction, Operation, Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from qgan_qiskit.circuits import CircuitSpec, check_listed_once
from qgan_qiskit.circuits.gate_definitions import definition_of, is_standard
from qgan_qiskit.circuits.parameter_expressions import Expression, Tree
from qgan_qiskit.errors import CircuitError, UsageError
from qgan_qiskit.simulation import llvm
from qgan_qiskit.simulation.engine import Engine
from qgan_qiskit.simulation.ir import constant_matrix, lower
from qgan_qiskit.simulation.torch_engine import TorchEngine, compile_torch

_MAX_ENGINES = 64
_engines: OrderedDict[Hashable, Engine] = OrderedDict()
_lock = Lock()


def engine_for(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
) -> Engine:
    """Return the engine of a circuit, compiling it if it is not among the last ones.

    On a processor it is the LLVM engine, on any other device the torch engine. The environment variable
    ``QGAN_QISKIT_ENGINE`` (``llvm`` or ``torch``) chooses for the processor.

    Raises:
        CircuitError: the circuit cannot be simulated, a parameter is listed twice, there are no observables, or one does not
            fit; the message names the offender.
        UsageError: the environment variable is something else.
    """
    device = device or torch.device("cpu")
    kind = _engine_kind(device)
    key = (
        circuit_key(circuit),
        tuple(inputs),
        tuple(weights),
        tuple(_observable_key(observable) for observable in observables),
        dtype,
        device,
        kind,
    )
    with _lock:
        engine = _engines.pop(key, None)
        if engine is None:
            check_listed_once(inputs, weights)
            # It outlives this call: tensors made in inference mode could not take part in training later.
            with torch.inference_mode(False):
                engine = _compile_engine(circuit, inputs, weights, observables, dtype, device, kind)
        _engines[key] = engine
        while len(_engines) > _MAX_ENGINES:
            _engines.popitem(last=False)
    return engine


def engine_for_spec(spec: CircuitSpec, dtype: torch.dtype, device: torch.device) -> Engine:
    """Return the engine of a circuit specification: inputs per image, weights per sub-generator."""
    return engine_for(spec.circuit, spec.input_parameters, spec.weight_parameters, spec.observables, dtype, device)


def _engine_kind(device: torch.device) -> str:
    if device.type != "cpu":
        return "torch"
    chosen = os.environ.get("QGAN_QISKIT_ENGINE", "")
    if chosen not in ("", "llvm", "torch"):
        raise UsageError(f"QGAN_QISKIT_ENGINE is '{chosen}': set it to 'llvm' or 'torch', or unset it")
    if chosen == "llvm" and not llvm.is_available():
        raise UsageError("QGAN_QISKIT_ENGINE is 'llvm', but kernels cannot be compiled here: pip install llvmlite")
    return chosen or ("llvm" if llvm.is_available() else "torch")


def _compile_engine(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
    dtype: torch.dtype,
    device: torch.device,
    kind: str,
) -> Engine:
    expressions: dict[Parameter, Expression] = {}
    lower(circuit, expressions)
    per_image = [e for e in expressions.values() if not set(inputs).isdisjoint(e.leaves)]
    per_instance = [e for e in expressions.values() if set(inputs).isdisjoint(e.leaves)]
    by_image = ExpressionColumns(per_image, [*inputs, *weights]) if per_image else None
    by_instance = ExpressionColumns(per_instance, weights) if per_instance else None
    all_inputs = [*inputs, *(by_image.parameters if by_image else ())]
    all_weights = [*weights, *(by_instance.parameters if by_instance else ())]
    engine: Engine
    if kind == "llvm":
        engine = llvm.make_engine(circuit, all_inputs, all_weights, observables, dtype)
    else:
        engine = TorchEngine(compile_torch(circuit, all_inputs, all_weights, observables), dtype, device)
    engine.num_inputs, engine.num_weights = len(all_inputs), len(all_weights)
    if expressions:
        engine = ExpressionEngine(engine, by_image, by_instance)
        engine.num_inputs, engine.num_weights = len(inputs), len(weights)
    return engine


def circuit_key(circuit: QuantumCircuit) -> Hashable:
    """Return a hashable description of everything that the circuit's unitary depends on."""
    return circuit.num_qubits, tuple(
        (*_gate_key(item.operation), tuple(circuit.find_bit(qubit).index for qubit in item.qubits))
        for item in circuit.data
    )


def _gate_key(gate: Operation) -> tuple[Hashable, ...]:
    """Describe what :func:`qgan_qiskit.simulation.ir.lower` makes of a gate; a gate that it refuses may have any key."""
    if isinstance(gate, AnnotatedOperation):
        modifiers = [(type(modifier), *map(_value_key, vars(modifier).values())) for modifier in gate.modifiers]
        return gate.name, tuple(modifiers), _gate_key(gate.base_op)
    if not isinstance(gate, Instruction):
        return (gate.name,)
    parameters = tuple(_value_key(value) for value in gate.params)
    if is_standard(gate):
        return gate.name, parameters
    # The name of a user's gate does not identify it: its matrix does, or its definition.
    matrix = constant_matrix(gate)
    return gate.name, parameters, _definition_key(gate) if matrix is None else matrix.tobytes()


def _definition_key(gate: Instruction) -> Hashable:
    try:
        definition = definition_of(gate, "")
    except CircuitError:
        return None
    return None if definition is None else circuit_key(definition)


def _value_key(value: object) -> Hashable:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, ParameterExpression):
        return value if isinstance(value, Parameter) else (str(value), frozenset(value.parameters))
    return value if isinstance(value, Hashable) else repr(value)


def _observable_key(observable: SparsePauliOp) -> Hashable:
    return (
        observable.paulis.x.tobytes(),
        observable.paulis.z.tobytes(),
        observable.coeffs.tobytes(),
        observable.num_qubits,
    )


class ExpressionColumns:
    """Values of expressions from the values of parameters, differentiable."""

    def __init__(self, expressions: Sequence[Expression], parameters: Sequence[Parameter]) -> None:
        """Group the expressions by form.

        Raises:
            CircuitError: an expression holds a parameter that is not listed; the message names it.
        """
        column = {parameter: number for number, parameter in enumerate(parameters)}
        for expression in expressions:
            for leaf in expression.leaves:
                if leaf not in column:
                    raise CircuitError(f"parameter '{leaf.name}' is neither an input nor a weight")
        groups: dict[Tree, list[int]] = {}
        for number, expression in enumerate(expressions):
            groups.setdefault(expression.tree, []).append(number)
        self._groups = [
            (
                tree,
                torch.tensor([[column[leaf] for leaf in expressions[n].leaves] for n in members]).T,
                torch.tensor([expressions[n].numbers for n in members], dtype=torch.float64).T,
            )
            for tree, members in groups.items()
        ]
        order = [n for members in groups.values() for n in members]
        self._texts = [expressions[n].text for n in order]
        self.parameters = [expressions[n].parameter for n in order]

    def __call__(self, values: Tensor) -> Tensor:
        """Return the values (…, D) for parameters (…, parameters).

        Raises:
            CircuitError: a value is not finite; the message names the expression and the row.
        """
        parts = []
        for tree, leaves, numbers in self._groups:
            leaf = [values.index_select(-1, index.to(values.device)) for index in leaves]
            found = _evaluate_tree(tree, leaf, numbers.to(values))
            parts.append(found.expand(*values.shape[:-1], leaves.shape[1]))
        result = torch.cat(parts, dim=-1)
        if not torch.isfinite(result).all():
            *row, place = (int(i) for i in (~torch.isfinite(result)).nonzero()[0])
            raise CircuitError(
                f"angle {self._texts[place]} is not a finite real number at row {tuple(row)} of the angles"
            )
        return result


def _evaluate_tree(tree: Tree, leaf: list[Tensor], numbers: Tensor) -> Tensor:
    kind, *parts = tree
    if kind == "leaf":
        return leaf[parts[0]]
    if kind == "number":
        return numbers[parts[0]]
    if kind == "Pow":
        base = _evaluate_tree(parts[0], leaf, numbers)
        return base.pow(parts[1] if isinstance(parts[1], float) else _evaluate_tree(parts[1], leaf, numbers))
    values = [_evaluate_tree(part, leaf, numbers) for part in parts]
    if kind == "Add":
        return reduce(torch.add, values)
    if kind == "Mul":
        return reduce(torch.mul, values)
    return getattr(torch, kind.lower())(values[0])


class ExpressionEngine(Engine):
    """An engine, and the expressions that are computed in front of it."""

    def __init__(
        self, inner: Engine, by_image: ExpressionColumns | None, by_instance: ExpressionColumns | None
    ) -> None:
        """Wrap an engine whose inputs and weights end with the expressions of ``by_image`` and ``by_instance``."""
        super().__init__(inner.num_qubits, inner.real, inner.dtype, inner.device)
        self._inner, self._by_image, self._by_instance = inner, by_image, by_instance

    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """Those of the inner engine; the columns are small compared to it."""
        return self._inner.bytes_needed(instances, batch, gradient)

    def _expectations(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        weights_PK = weights[0] if weights[0].dim() == 2 else torch.stack(weights)
        x_BPQ, w_PK = _require_finite_gradient(inputs_BPQ), _require_finite_gradient(weights_PK)
        if self._by_image is not None:
            both = torch.cat([x_BPQ, w_PK.expand(len(x_BPQ), *w_PK.shape)], dim=-1)
            x_BPQ = torch.cat([x_BPQ, self._by_image(both)], dim=-1)
        if self._by_instance is not None:
            w_PK = torch.cat([w_PK, self._by_instance(w_PK)], dim=-1)
        return self._inner.expectations(x_BPQ, w_PK)


def _require_finite_gradient(values: Tensor) -> Tensor:
    """Return the same values with a hook that raises if their gradient is not finite."""
    if not (torch.is_grad_enabled() and values.requires_grad):
        return values
    same = values.view_as(values)
    same.register_hook(_check_finite)
    return same


def _check_finite(gradient: Tensor) -> None:
    if not torch.isfinite(gradient).all():
        raise CircuitError("an angle has no finite derivative at these values, such as sqrt(x) at 0; use other values")
