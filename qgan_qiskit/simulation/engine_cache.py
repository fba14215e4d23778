"""Remembering compiled programs and engines, so that a circuit met again costs a look-up."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from threading import Lock

import numpy as np
import torch
from qiskit.circuit import AnnotatedOperation, Instruction, Operation, Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits import CircuitSpec, check_listed_once
from qgan_qiskit.circuits.gate_definitions import definition_of, is_standard
from qgan_qiskit.circuits.parameter_expressions import Expression
from qgan_qiskit.errors import CircuitError, UsageError
from qgan_qiskit.simulation import llvm as native
from qgan_qiskit.simulation.engine import Engine
from qgan_qiskit.simulation.ir import constant_matrix, lower
from qgan_qiskit.simulation.parameter_columns import Columns, ExpressionEngine
from qgan_qiskit.simulation.torch_engine.engine import TorchEngine
from qgan_qiskit.simulation.torch_engine.program import compile_circuit

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
    """Return the engine of a circuit, compiling it if it has not been met lately.

    On a processor it is the native one, on any other device the portable one. The environment variable
    ``QGAN_QISKIT_ENGINE`` (``native`` or ``portable``) chooses for the processor.

    Raises:
        CircuitError: the circuit cannot be simulated, a parameter is listed twice, there are no observables, or one does not
            fit; the message names the offender.
        UsageError: the environment variable is something else.
    """
    device = device or torch.device("cpu")
    kind = _kind(device)
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
                engine = _compiled(circuit, inputs, weights, observables, dtype, device, kind)
        _engines[key] = engine
        while len(_engines) > _MAX_ENGINES:
            _engines.popitem(last=False)
    return engine


def _compiled(
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
    image = [e for e in expressions.values() if not set(inputs).isdisjoint(e.leaves)]
    rest = [e for e in expressions.values() if set(inputs).isdisjoint(e.leaves)]
    by_image = Columns(image, [*inputs, *weights]) if image else None
    by_instance = Columns(rest, weights) if rest else None
    all_inputs = [*inputs, *(by_image.parameters if by_image else ())]
    all_weights = [*weights, *(by_instance.parameters if by_instance else ())]
    engine: Engine
    if kind == "native":
        engine = native.compiled_engine(circuit, all_inputs, all_weights, observables, dtype)
    else:
        engine = TorchEngine(compile_circuit(circuit, all_inputs, all_weights, observables), dtype, device)
    engine.num_inputs, engine.num_weights = len(all_inputs), len(all_weights)
    if expressions:
        engine = ExpressionEngine(engine, by_image, by_instance)
        engine.num_inputs, engine.num_weights = len(inputs), len(weights)
    return engine


def _kind(device: torch.device) -> str:
    """Return which engine to use on a device."""
    if device.type != "cpu":
        return "portable"
    chosen = os.environ.get("QGAN_QISKIT_ENGINE", "")
    if chosen not in ("", "native", "portable"):
        raise UsageError(f"QGAN_QISKIT_ENGINE is '{chosen}': 'native' or 'portable' is possible")
    if chosen == "native" and native.kind() != chosen:
        raise UsageError("QGAN_QISKIT_ENGINE is 'native', but kernels cannot be compiled here: pip install llvmlite")
    return chosen or native.kind()


def engine_for_spec(ansatz: CircuitSpec, dtype: torch.dtype, device: torch.device) -> Engine:
    """Return the engine of an ansatz: inputs per image, weights per sub-generator."""
    return engine_for(
        ansatz.circuit, ansatz.input_parameters, ansatz.weight_parameters, ansatz.observables, dtype, device
    )


def circuit_key(circuit: QuantumCircuit) -> Hashable:
    """Return a hashable description of everything that decides the circuit's unitary."""
    return circuit.num_qubits, tuple(
        (*_gate_key(item.operation), tuple(circuit.find_bit(qubit).index for qubit in item.qubits))
        for item in circuit.data
    )


def _gate_key(gate: Operation) -> tuple[Hashable, ...]:
    """Describe what :func:`qgan_qiskit.simulation.ir.lower` makes of a gate; what it refuses may have any key."""
    if isinstance(gate, AnnotatedOperation):
        modifiers = [(type(modifier), *map(_value_key, vars(modifier).values())) for modifier in gate.modifiers]
        return gate.name, tuple(modifiers), _gate_key(gate.base_op)
    if not isinstance(gate, Instruction):
        return (gate.name,)
    parameters = tuple(_value_key(value) for value in gate.params)
    if is_standard(gate):
        return gate.name, parameters
    # The name of a user's gate says nothing: its matrix does, or what it is made of.
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
