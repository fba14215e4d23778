"""A circuit as OpenQASM 3 text that holds standard gates alone.

Qiskit's exporter writes gates of the user's own with the arguments of another call, takes qubits that are declared alone out of
their place, and rounds numbers near fractions of pi. So every gate is written out here, on one register, and numbers keep all
their digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from qiskit.circuit import Barrier, ParameterExpression, QuantumCircuit

from qgan_qiskit.circuits.standard import standard_name
from qgan_qiskit.errors import CircuitError

_DENOMINATORS = (1, 2, 3, 4, 6, 8)


def text_of_circuit(circuit: QuantumCircuit) -> str:
    """Return the OpenQASM 3 text of a circuit.

    Args:
        circuit: what :func:`qgan_qiskit.circuits.standard.resolved` returns; its parameters have names that OpenQASM 3 takes.

    Raises:
        CircuitError: an angle is not a finite real number.
    """
    return "".join(f"{line}\n" for line in _lines(circuit))


def _lines(circuit: QuantumCircuit) -> Iterator[str]:
    yield "OPENQASM 3.0;"
    yield 'include "stdgates.inc";'
    for parameter in circuit.parameters:
        yield f"input float[64] {parameter.name};"
    yield f"qubit[{circuit.num_qubits}] q;"
    if isinstance(circuit.global_phase, ParameterExpression) or circuit.global_phase != 0:
        yield f"gphase({_number(circuit.global_phase)});"
    for instruction in circuit.data:
        operation = instruction.operation
        name = "barrier" if isinstance(operation, Barrier) else standard_name(operation)
        angles = f"({', '.join(map(_number, operation.params))})" if operation.params else ""
        qubits = ", ".join(f"q[{circuit.find_bit(qubit).index}]" for qubit in instruction.qubits)
        yield f"{name}{angles} {qubits};"


def _number(value: ParameterExpression | float) -> str:
    """Return an angle that reads as the same number; a fraction of pi as one, if it is exactly that."""
    if isinstance(value, ParameterExpression):
        if value.parameters:
            return str(value)
        value = value.numeric()
    number = complex(value)
    if number.imag or not math.isfinite(number.real):
        raise CircuitError(f"angle {value} is not a finite real number; angles are radians")
    real = number.real
    for denominator in _DENOMINATORS:
        numerator = round(real * denominator / math.pi)
        if 0 < abs(numerator) <= 16 and numerator * math.pi / denominator == real:
            shown = {1: "pi", -1: "-pi"}.get(numerator, f"{numerator}*pi")
            return shown if denominator == 1 else f"{shown}/{denominator}"
    return repr(int(real)) if real.is_integer() and abs(real) < 2**53 and math.copysign(1, real) > 0 else repr(real)
