"""What makes a circuit trainable and exactly simulable; every refusal is one line with the offender and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from qiskit.circuit import Gate, Instruction, Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.gate_definitions import definition_of, free_angles, is_elementary, strip_annotations
from qgan_qiskit.circuits.parameter_expressions import angle_form
from qgan_qiskit.errors import CircuitError

# Imaginary parts of a coefficient up to this are rounding.
_ROUNDING = 1e-12


def check_gates(circuit: QuantumCircuit) -> None:
    """Refuse whatever is not a unitary gate, and angles without value or derivative.

    Raises:
        CircuitError: on no qubits, classical bits or variables, measurements, resets, control flow, gates without a
            definition, and angles that are not real or not differentiable (also inside user-defined gates).
    """
    if circuit.num_qubits == 0:
        raise CircuitError("the circuit has no qubits; give it at least one")
    _check_instructions(circuit, "")
    if circuit.num_clbits:
        raise CircuitError(
            f"the circuit has {circuit.num_clbits} classical bit(s); remove them, observables say what is measured"
        )
    for variable in circuit.iter_vars():
        raise CircuitError(f"the circuit has the classical variable '{variable.name}'; use a Parameter instead")


def _check_instructions(circuit: QuantumCircuit, inside: str) -> None:
    angle_form(circuit.global_phase, f"the global phase{inside}")
    for instruction in circuit.data:
        qubits = ", ".join(str(circuit.find_bit(qubit).index) for qubit in instruction.qubits)
        place = f"on qubit {qubits}{inside}"
        operation = strip_annotations(instruction.operation, place)
        for angle in free_angles(operation):
            angle_form(angle, f"gate '{operation.name}' {place}")
        if not is_elementary(operation):
            _check_instructions(_definition(operation, place), f" in '{operation.name}'{inside}")


def _definition(operation: Instruction, place: str) -> QuantumCircuit:
    """Return what an operation is made of; measurements, resets and control flow are made of nothing."""
    definition = definition_of(operation, place)
    if definition is not None:
        return definition
    if isinstance(operation, Gate):
        raise CircuitError(f"gate '{operation.name}' {place} has no definition; define it by standard gates")
    raise CircuitError(
        f"'{operation.name}' {place} is not a unitary gate; remove measurements, resets, delays and control flow"
    )


def check_parameters(circuit: QuantumCircuit, inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
    """Refuse lists of parameters that do not split the circuit's parameters into inputs and weights.

    Raises:
        CircuitError: naming a parameter that is in both lists, in neither, twice in one, or not in the circuit; or if
            there are no weights.
    """
    if not weights:
        raise CircuitError("the circuit has no weights; list at least one trainable parameter")
    check_listed_once(inputs, weights)
    known = set(circuit.parameters)
    missing = {*inputs, *weights} - known
    if missing:
        raise CircuitError(f"parameter '{_first(missing)}' is not in the circuit; use it in a gate or do not list it")
    unlisted = known - {*inputs, *weights}
    if unlisted:
        raise CircuitError(f"parameter '{_first(unlisted)}' is neither an input nor a weight; list it as one of them")
    idle = known - {p for gate in circuit.data for angle in free_angles(gate.operation) for p in angle.parameters}
    if idle:
        raise CircuitError(f"parameter '{_first(idle)}' turns no gate (only the global phase); remove it")


def check_listed_once(inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
    """Refuse a parameter that is listed twice.

    Raises:
        CircuitError: naming a parameter that is in both lists, or twice in one.
    """
    both = set(inputs) & set(weights)
    if both:
        raise CircuitError(f"parameter '{_first(both)}' is both an input and a weight; list it once")
    for parameter, count in Counter([*inputs, *weights]).items():
        if count > 1:
            raise CircuitError(f"parameter '{parameter.name}' is listed {count} times; list it once")


def check_observables(num_qubits: int, observables: Sequence[SparsePauliOp]) -> None:
    """Refuse observables that have no real expectation on ``num_qubits`` qubits.

    Raises:
        CircuitError: on no observables, on another number of qubits, on complex, infinite or parameterized coefficients.
    """
    if not observables:
        raise CircuitError("there are no observables; give at least one Pauli operator")
    for number, observable in enumerate(observables):
        what = f"observable {number}"
        if not isinstance(observable, SparsePauliOp):
            raise CircuitError(f"{what} is a {type(observable).__name__}; give a SparsePauliOp")
        if observable.num_qubits != num_qubits:
            raise CircuitError(
                f"{what} acts on {observable.num_qubits} qubit(s), the circuit has {num_qubits}; "
                "pad the Pauli labels with I or shorten them"
            )
        if observable.coeffs.dtype == object:
            raise CircuitError(f"{what} has a parameterized coefficient; only circuits carry parameters")
        for label, coefficient in observable.to_list():
            if not np.isfinite(coefficient):
                raise CircuitError(f"{what} has the coefficient {coefficient} of {label}; use finite numbers")
            if abs(coefficient.imag) > _ROUNDING:
                raise CircuitError(
                    f"{what} is not Hermitian: the coefficient of {label} is {coefficient}; use real numbers"
                )


def _first(parameters: Iterable[Parameter]) -> str:
    return min(parameter.name for parameter in parameters)
