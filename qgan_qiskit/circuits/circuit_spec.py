"""The trainable circuit, `CircuitSpec`: feature map (inputs), ansatz (weights) and observables.

A spec is validated once, when it is built: whoever receives one may rely on a unitary, differentiable circuit, disjoint
inputs and weights, and Hermitian observables. Angles are radians.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

import numpy as np
from qiskit.circuit import Gate, Instruction, Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.gate_definitions import definition_of, free_angles, is_elementary, strip_annotations
from qgan_qiskit.circuits.parameter_expressions import angle_form
from qgan_qiskit.errors import CircuitError

# Imaginary parts of a coefficient up to this size are rounding errors.
_IMAGINARY_TOLERANCE = 1e-12
# Characters that Qiskit's exporter replaces by an underscore: θ[0] becomes _θ_0_.
_NOT_IN_QASM_NAMES = re.compile(r"[^\w*?]")


@dataclass(frozen=True, eq=False)
class CircuitSpec:
    """A unitary circuit with its inputs, weights and observables.

    The circuit is copied, so later changes to the original have no effect; treat ``circuit`` as read-only.

    Attributes:
        name: short name for messages and files.
        circuit: unitary circuit without classical bits; every angle is a differentiable expression.
        input_parameters: parameters that carry data, in the column order of the inputs (batch, num_inputs).
        weight_parameters: trained parameters, in the order of the weight vector (num_weights,).
        observables: operators with real coefficients on all qubits; each yields one expectation.
        source: paper and section that the circuit follows.

    Raises:
        CircuitError: the circuit, its parameters or its observables cannot be simulated and trained.
    """

    name: str
    circuit: QuantumCircuit
    input_parameters: tuple[Parameter, ...]
    weight_parameters: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]
    source: str = ""

    def __post_init__(self) -> None:
        for field in ("input_parameters", "weight_parameters", "observables"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        check_gates(self.circuit)
        check_parameters(self.circuit, self.input_parameters, self.weight_parameters)
        check_observables(self.circuit.num_qubits, self.observables)
        object.__setattr__(self, "circuit", self.circuit.copy())

    @property
    def num_qubits(self) -> int:
        """Number of qubits."""
        return self.circuit.num_qubits

    @property
    def num_inputs(self) -> int:
        """Length of one input row."""
        return len(self.input_parameters)

    @property
    def num_weights(self) -> int:
        """Length of the weight vector."""
        return len(self.weight_parameters)

    @property
    def num_observables(self) -> int:
        """Number of expectations per input row."""
        return len(self.observables)


def single_qubit_paulis(pauli: str, num_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Return one observable per qubit: ``pauli`` (X, Y or Z) on qubit i, identity elsewhere.

    Qiskit writes qubit 0 last in a label: on three qubits the first observable is IIZ.
    """
    return tuple(SparsePauliOp.from_sparse_list([(pauli, [q], 1.0)], num_qubits) for q in range(num_qubits))


def check_gates(circuit: QuantumCircuit) -> None:
    """Raise `CircuitError` unless all gates, also inside user-defined gates, are unitary with differentiable real angles."""
    if circuit.num_qubits == 0:
        raise CircuitError("the circuit has no qubits; give it at least one")
    _check_instructions(circuit, "")
    if circuit.num_clbits:
        raise CircuitError(
            f"the circuit has {circuit.num_clbits} classical bit(s); remove them, the observables define what is measured"
        )
    for variable in circuit.iter_vars():
        raise CircuitError(f"the circuit has the classical variable '{variable.name}'; use a Parameter instead")


def _check_instructions(circuit: QuantumCircuit, parents: str) -> None:
    angle_form(circuit.global_phase, f"the global phase{parents}")
    for instruction in circuit.data:
        qubits = ", ".join(str(circuit.find_bit(qubit).index) for qubit in instruction.qubits)
        location = f"on qubit {qubits}{parents}"
        operation = strip_annotations(instruction.operation, location)
        for angle in free_angles(operation):
            angle_form(angle, f"gate '{operation.name}' {location}")
        if not is_elementary(operation):
            _check_instructions(_require_definition(operation, location), f" in '{operation.name}'{parents}")


def _require_definition(operation: Instruction, location: str) -> QuantumCircuit:
    definition = definition_of(operation, location)
    if definition is not None:
        return definition
    if isinstance(operation, Gate):
        raise CircuitError(f"gate '{operation.name}' {location} has no definition; define it with standard gates")
    raise CircuitError(
        f"'{operation.name}' {location} is not a unitary gate; remove measurements, resets, delays and control flow"
    )


def check_parameters(circuit: QuantumCircuit, inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
    """Raise `CircuitError` unless there are weights, and inputs and weights partition the parameters of the gates."""
    if not weights:
        raise CircuitError("the circuit has no weights; list at least one trainable parameter")
    check_listed_once(inputs, weights)
    known = set(circuit.parameters)
    listed = {*inputs, *weights}
    in_gates = {p for gate in circuit.data for angle in free_angles(gate.operation) for p in angle.parameters}
    for offenders, problem in (
        (listed - known, "is not in the circuit; use it in a gate or do not list it"),
        (known - listed, "is neither an input nor a weight; list it as one of them"),
        (known - in_gates, "is in no gate (only in the global phase); remove it"),
    ):
        if offenders:
            raise CircuitError(f"parameter '{min(parameter.name for parameter in offenders)}' {problem}")


def check_listed_once(inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
    """Raise `CircuitError` if a parameter is in both lists, or twice in one."""
    if both := set(inputs) & set(weights):
        name = min(parameter.name for parameter in both)
        raise CircuitError(f"parameter '{name}' is both an input and a weight; list it once")
    for parameter, count in Counter([*inputs, *weights]).items():
        if count > 1:
            raise CircuitError(f"parameter '{parameter.name}' is listed {count} times; list it once")


def check_observables(num_qubits: int, observables: Sequence[SparsePauliOp]) -> None:
    """Raise `CircuitError` unless each observable is a real sum of Pauli operators on ``num_qubits`` qubits."""
    if not observables:
        raise CircuitError("there are no observables; give at least one Pauli operator")
    for number, observable in enumerate(observables):
        subject = f"observable {number}"
        if not isinstance(observable, SparsePauliOp):
            raise CircuitError(f"{subject} is a {type(observable).__name__}; give a SparsePauliOp")
        if observable.num_qubits != num_qubits:
            raise CircuitError(
                f"{subject} acts on {observable.num_qubits} qubit(s), the circuit has {num_qubits}; "
                "pad the Pauli labels with I or shorten them"
            )
        if observable.coeffs.dtype == object:
            raise CircuitError(f"{subject} has a parameterized coefficient; use numbers")
        for label, coefficient in observable.to_list():
            if not np.isfinite(coefficient):
                raise CircuitError(f"{subject} has the coefficient {coefficient} of {label}; use finite numbers")
            if abs(coefficient.imag) > _IMAGINARY_TOLERANCE:
                raise CircuitError(
                    f"{subject} is not Hermitian: the coefficient of {label} is {coefficient}; use real numbers"
                )


@dataclass(frozen=True)
class ParameterNames:
    """Which parameters of a circuit file are inputs and which are weights.

    Attributes:
        inputs: comma-separated shell patterns (``*``, ``?``, ``[0-9]``), or a tuple of names in input order; None for
            ``x_NNN``.
        weights: the same for the weights; None for ``theta_NNN``.
    """

    inputs: str | tuple[str, ...] | None = None
    weights: str | tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        """Return whether any names are given."""
        return self.inputs is not None or self.weights is not None


def numbered_parameters(prefix: str, count: int) -> tuple[Parameter, ...]:
    """Return parameters ``prefix_000``, ``prefix_001``, …; beyond 1000 all numbers get more digits, so names still sort."""
    width = max(3, len(str(count - 1)))
    return tuple(Parameter(f"{prefix}_{number:0{width}d}") for number in range(count))


def split_parameters(
    parameters: Iterable[Parameter], names: ParameterNames | None = None
) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Split the parameters of a file into inputs and weights.

    Matches of one pattern are in natural order (2 before 10), several patterns follow one another, a tuple of names sets
    its own order.

    Raises:
        CircuitError: a parameter is neither or both, a pattern or name matches nothing, or two parameters have the same
            number (``x_001`` and ``x_0001``).
    """
    parameters = tuple(parameters)
    names = names or ParameterNames()
    inputs = _select(parameters, "x", names.inputs, "input")
    weights = _select(parameters, "theta", names.weights, "weight")
    for parameter in parameters:
        if parameter in inputs and parameter in weights:
            raise CircuitError(f"parameter '{parameter.name}' is both an input and a weight; name it once")
        if parameter not in inputs and parameter not in weights:
            remedy = (
                "no pattern or list names it; widen --input-names or --weight-names"
                if names
                else "name it x_NNN or theta_NNN (as x_000), or pass --input-names and --weight-names"
            )
            raise CircuitError(f"parameter '{parameter.name}' is neither an input nor a weight; {remedy}")
    return inputs, weights


def _select(
    parameters: Sequence[Parameter], prefix: str, wanted: str | tuple[str, ...] | None, role: str
) -> tuple[Parameter, ...]:
    by_number = sorted(parameters, key=lambda parameter: _natural_key(parameter.name))
    if wanted is None:
        numbered = [parameter for parameter in by_number if re.fullmatch(rf"{prefix}_[0-9]{{3,}}", parameter.name)]
        for one, other in pairwise(numbered):
            if _natural_key(one.name) == _natural_key(other.name):
                raise CircuitError(f"parameters '{one.name}' and '{other.name}' have the same number; rename one")
        return tuple(numbered)
    by_pattern = isinstance(wanted, str)
    matches = _matches_pattern if by_pattern else _matches_name
    selected: dict[Parameter, None] = {}
    for entry in [part.strip() for part in wanted.split(",")] if isinstance(wanted, str) else wanted:
        found = [parameter for parameter in by_number if matches(parameter.name, entry)]
        if not found:
            present = ", ".join(parameter.name for parameter in by_number[:6]) or "none"
            kind = "pattern (as in a shell: * for any text)" if by_pattern else "name"
            raise CircuitError(f"no parameter has the {role} {kind} '{entry}'; the circuit has {present}")
        if not by_pattern and found[0] in selected:
            raise CircuitError(f"the {role} '{entry}' is listed twice; list it once")
        selected.update(dict.fromkeys(found))
    return tuple(selected)


def _matches_pattern(name: str, pattern: str) -> bool:
    """Match a shell pattern; brackets are a character set, or stand for themselves as in ``theta[*]``."""
    literal_brackets = pattern.replace("[", "[[]")
    return any(fnmatchcase(name, form) for form in (pattern, literal_brackets, _exported_name(pattern)))


def _matches_name(name: str, wanted: str) -> bool:
    return name in (wanted, _exported_name(wanted))


def _exported_name(name: str) -> str:
    """Return a name as Qiskit's exporter writes it."""
    return "_" + _NOT_IN_QASM_NAMES.sub("_", name) if _NOT_IN_QASM_NAMES.search(name) else name


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    return [
        (1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part)
        for part in re.split(r"([0-9]+)", name)
    ]
