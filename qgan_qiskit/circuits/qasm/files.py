"""A circuit as OpenQASM 3 text that holds standard gates alone.

Qiskit's exporter writes gates of the user's own with the arguments of another call, takes qubits that are declared alone out of
their place, and rounds numbers near fractions of pi. So every gate is written out here, on one register, and numbers keep all
their digits.

Circuits as OpenQASM 3 files: written from an ansatz, and read back or from a user's own file.
"""

from __future__ import annotations

import codecs
import hashlib
import math
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qiskit import qasm2
from qiskit.circuit import Barrier, Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.building_blocks import single_qubit_paulis
from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.circuits.equivalence import check_same, check_written_out, gates_at_values
from qgan_qiskit.circuits.metadata import check_counts, names_of, observables_of, read_metadata
from qgan_qiskit.circuits.qasm.parameter_names import ParameterNames, numbered_parameters, split_by_name
from qgan_qiskit.circuits.qasm.reader import LARGEST_REGISTER, circuit_of_text
from qgan_qiskit.circuits.qasm.standard_gates import resolved, standard_name
from qgan_qiskit.errors import CircuitError

_DENOMINATORS = (1, 2, 3, 4, 6, 8)


def text_of_circuit(circuit: QuantumCircuit) -> str:
    """Return the OpenQASM 3 text of a circuit.

    Args:
        circuit: from :func:`~qgan_qiskit.circuits.qasm.standard_gates.resolved`; its parameters have names that OpenQASM 3 takes.

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


# The parser takes some seconds for 100 kB, and no circuit that can be trained is nearly as long.
_LARGEST_FILE = 2_000_000
_VERSION_2 = re.compile(r"\s*OPENQASM\s+2(\.\d+)?\s*;")
_REGISTERS_2 = re.compile(r"\b[qc]reg\s+\w+\s*\[\s*0*(\d{1,18})")
_INPUT = re.compile(r"\binput\s+[^;{}]*?(\w+)\s*;")
_GATE = re.compile(r"\bgate\s+(\w+)\s*\(([^(){};]*)\)")
_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# No digit of such an angle says where on the circle it ends.
_LARGEST_ANGLE = 1e15


def circuit_spec_to_qasm(ansatz: CircuitSpec) -> str:
    """Return the circuit of an ansatz as OpenQASM 3.

    All gates that ``stdgates.inc`` lacks are written out, on one register of the circuit's qubits in their order. Parameters are
    written as ``x_000…`` and ``theta_000…`` in the order of the ansatz's two lists, whatever their names were, so that
    :func:`read_circuit_spec` gives the lists back in the same order. Before it is returned the text is read
    back and compared with the
    circuit, gate by gate, and each gate that was written out with what it does to a state.

    Raises:
        CircuitError: a gate cannot be written out, or the text is not the same circuit.
    """
    try:
        flat = _renamed(resolved(ansatz.circuit), ansatz)
        text = text_of_circuit(flat)
        check_written_out(ansatz.circuit)
    except (CircuitError, RecursionError) as error:
        reason = "its gates are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CircuitError(f"'{ansatz.name}' has no OpenQASM 3 form: {reason}") from error
    _check_read_back(text, flat, ansatz.name)
    return text


def _check_read_back(text: str, flat: QuantumCircuit, name: str) -> None:
    """Refuse a text that is not the circuit that it was written from."""
    try:
        back, declared = circuit_of_text(text, name)
        if {p.name for p in declared} != {p.name for p in flat.parameters}:
            raise CircuitError("has other parameters")
        check_same(flat, back)
    except CircuitError as error:
        raise CircuitError(
            f"'{name}' is not the same circuit when it is read back from OpenQASM 3: it {error}; "
            "write its gates out in standard gates"
        ) from error


def _renamed(circuit: QuantumCircuit, ansatz: CircuitSpec) -> QuantumCircuit:
    """Return a circuit whose parameters are called ``x_000…`` and ``theta_000…`` in the order of the ansatz's lists."""
    old = (*ansatz.input_parameters, *ansatz.weight_parameters)
    new = (*numbered_parameters("x", ansatz.num_inputs), *numbered_parameters("theta", ansatz.num_weights))
    changes = {one: other for one, other in zip(old, new, strict=True) if one.name != other.name}
    # An old name that is also a new one of another parameter would be taken for it.
    between = {one: Parameter(f"between_{number}") for number, one in enumerate(changes)}
    circuit = circuit.assign_parameters(between)
    return circuit.assign_parameters({between[one]: other for one, other in changes.items()})


def circuit_digest(ansatz: CircuitSpec) -> str:
    """Return the SHA-256 of what an ansatz computes: circuit, order of inputs and weights, observables; names play no part.

    Raises:
        CircuitError: see :func:`circuit_spec_to_qasm`.
    """
    flat = _renamed(resolved(ansatz.circuit), ansatz)
    observables = [sorted(observable.simplify().to_list()) for observable in ansatz.observables]
    described = [flat.num_qubits, ansatz.num_inputs, ansatz.num_weights, gates_at_values(flat), observables]
    return hashlib.sha256(repr(described).encode()).hexdigest()


def read_circuit_spec(
    path: str | Path,
    observables: Sequence[SparsePauliOp] | None = None,
    names: ParameterNames | None = None,
) -> CircuitSpec:
    """Read an ansatz from an OpenQASM 3 file.

    Inputs of the file named ``x_NNN`` are inputs, ``theta_NNN`` weights, each in the order of their numbers, if nothing else is
    said; the angles are radians. Gates that the file defines are written out, with the arguments of their calls.

    Args:
        path: the file, UTF-8.
        observables: what is measured. Without them the card next to the file (same name, ``.json``) says it; without a
            card, or a list in it, it is ⟨Z_i⟩ on every qubit, in the order of the qubits.
        names: what inputs and weights are called. Without them the card's lists ``input_names`` and ``weight_names`` say it,
            if the card is read.

    Returns:
        The checked ansatz, named like the file. Its circuit holds gates of ``stdgates.inc`` alone.

    Raises:
        CircuitError: one line that starts with the file name and names the offender: a file that is missing, not UTF-8
            or not OpenQASM 3, a parameter of another name, a physical qubit, or whatever :class:`CircuitSpec` refuses.
    """
    path = Path(path)
    circuit, declared = read_circuit(path)
    if declared is None:
        raise CircuitError(
            f"{path}: is OpenQASM 2, which has no free parameters to train; write it as OpenQASM 3 with inputs "
            "('circuit draw' shows it)"
        )
    card_path = path.with_suffix(".json")
    card = read_metadata(card_path) if observables is None and card_path.exists() else None
    if observables is None:
        observables = _observables(card, card_path, circuit.num_qubits)
    if card is not None and not names:
        names = names_of(card, card_path)
    try:
        inputs, weights = split_by_name(declared, names)
        ansatz = CircuitSpec(
            name=path.stem,
            circuit=circuit,
            input_parameters=inputs,
            weight_parameters=weights,
            observables=tuple(observables),
            source=str((card or {}).get("source", "")),
        )
    except CircuitError as error:
        raise CircuitError(f"{path}: {error}") from error
    if card is not None:
        check_counts(card, ansatz, card_path)
    return ansatz


def read_circuit(path: str | Path) -> tuple[QuantumCircuit, tuple[Parameter, ...] | None]:
    """Read a circuit from an OpenQASM 3 or OpenQASM 2 file, whether it can be trained or not.

    Returns:
        The circuit; and its inputs in the order of their declaration, None for OpenQASM 2, which has none and may measure.

    Raises:
        CircuitError: see :func:`read_circuit_spec`.
    """
    path = Path(path)
    text = _read(path)
    bare = _COMMENTS.sub(" ", text)
    try:
        if not bare.strip():
            raise CircuitError("is empty; write OpenQASM 3, such as 'qubit[2] q;' and gates on it")
        if _VERSION_2.match(bare):
            if sum(int(size) for size in _REGISTERS_2.findall(bare)) > LARGEST_REGISTER:
                raise CircuitError(
                    f"has more than {LARGEST_REGISTER:,} qubits or bits, which is the most that can be read"
                )
            return _version_2(text), None
        circuit, declared = circuit_of_text(text, path.stem)
        _check_angles(circuit)
    except CircuitError as error:
        raise CircuitError(f"{path}: {error}") from error
    except RecursionError as error:
        raise CircuitError(f"{path}: is nested too deeply; write it with fewer brackets and gates in gates") from error
    return circuit, declared


def exporter_note(path: str | Path) -> str | None:
    """Return a note on a file whose gates Qiskit's exporter may have changed, None for other files.

    The exporter calls the parameters of a gate like inputs of the file, sorts them, and writes the arguments of one call into the
    body, where the next call applies them again. The text alone does not tell what was meant.
    """
    text = _COMMENTS.sub(" ", _read(Path(path)))
    inputs = set(_INPUT.findall(text))
    gates = [
        name for name, parameters in _GATE.findall(text) if inputs & {each.strip() for each in parameters.split(",")}
    ]
    if not gates:
        return None
    return (
        f"{path}: parameters of gate {', '.join(gates[:5])} are called like inputs, as Qiskit's exporter writes gates of one's "
        "own, often with other arguments than the circuit had; the file is read as it stands: compare 'circuit draw', or write "
        "it with circuit_spec_to_qasm"
    )


def _observables(card: dict[str, Any] | None, path: Path, num_qubits: int) -> Sequence[SparsePauliOp]:
    """Return what a card lists; a card that says only what parameters are called leaves the default."""
    if card is None or ("observables" not in card and ("input_names" in card or "weight_names" in card)):
        return single_qubit_paulis("Z", num_qubits)
    return observables_of(card, path)


def _version_2(text: str) -> QuantumCircuit:
    try:
        circuit = qasm2.loads(
            text,
            include_path=(),
            custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
            custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
        )
    except Exception as error:  # Qiskit's own, and OverflowError and others
        reason = " ".join(str(getattr(error, "message", error)).split()).removeprefix("<input>:")
        raise CircuitError(f"is not OpenQASM 2 that Qiskit reads: {reason[:200]}") from error
    if circuit.num_qubits == 0:
        raise CircuitError("the circuit has no qubits; give it at least one")
    return circuit


def _read(path: Path) -> str:
    try:
        found = path.stat()
        # Opening a pipe waits for somebody to write into it.
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise CircuitError(f"{path}: is no regular file; give an OpenQASM 3 file")
        if found.st_size > _LARGEST_FILE:
            raise CircuitError(f"{path}: has {found.st_size:,} bytes, at most {_LARGEST_FILE:,} can be read")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CircuitError(f"{path}: cannot be read ({reason}); give an OpenQASM 3 file") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CircuitError(f"{path}: is UTF-16 and is not UTF-8 text (byte 0); save it as UTF-8")
    if b"\0" in data:
        raise CircuitError(f"{path}: is no text (byte {data.index(0)} is 0); give an OpenQASM 3 file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CircuitError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _check_angles(circuit: QuantumCircuit) -> None:
    """Refuse an angle so large, at parameters of 1 or 2 pi, that its place on the circle is lost in rounding."""
    for angle in [
        circuit.global_phase,
        *(angle for instruction in circuit.data for angle in instruction.operation.params),
    ]:
        # At both: an angle such as 1/(x - 1) has a pole at one of them.
        sizes = [_size_at(angle, value) for value in (math.tau, 1.0)]
        if all(size is not None and size >= _LARGEST_ANGLE for size in sizes):
            raise CircuitError(
                f"angle {_short(angle)} reaches {min(filter(None, sizes)):.3g} radians, where no digit says what turn it is; "
                "use smaller numbers"
            )


def _size_at(angle: ParameterExpression | float, value: float) -> float | None:
    """Return the size of an angle where all its parameters have one value; infinite at a pole, None out of its domain."""
    if not isinstance(angle, ParameterExpression):
        return abs(angle)
    try:
        size = abs(complex(angle.bind(dict.fromkeys(angle.parameters, value)).numeric()))
    except ArithmeticError:
        return math.inf
    except (RuntimeError, TypeError, ValueError):
        return None
    return None if math.isnan(size) else size


def _short(angle: object) -> str:
    text = str(angle)
    return text if len(text) <= 60 else f"{text[:57]}…"
