"""Circuit files: OpenQASM 3 (``.qasm``) and the JSON metadata beside it, which names parameters and observables.

Messages of all functions start with the file's path. Text to circuit is in ``reader``, circuit to text in ``writer``.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from qiskit import qasm2
from qiskit.circuit import Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.circuit_spec import (
    CircuitSpec,
    ParameterNames,
    numbered_parameters,
    single_qubit_paulis,
    split_parameters,
)
from qgan_qiskit.circuits.gate_definitions import circuit_resources, error_text
from qgan_qiskit.circuits.qasm.reader import MAX_QUBITS, parse_circuit
from qgan_qiskit.errors import CircuitError

# The parser takes seconds per 100 kB, and no circuit that can be trained is nearly as long.
_MAX_BYTES = 2_000_000
_QASM2_VERSION = re.compile(r"\s*OPENQASM\s+2(\.\d+)?\s*;")
_QASM2_REGISTERS = re.compile(r"\b[qc]reg\s+\w+\s*\[\s*0*(\d{1,18})")
_INPUT = re.compile(r"\binput\s+[^;{}]*?(\w+)\s*;")
_GATE = re.compile(r"\bgate\s+(\w+)\s*\(([^(){};]*)\)")
_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# No digit of a larger angle tells its remainder modulo 2 pi.
_MAX_ANGLE = 1e15
_METADATA_FORMAT: Literal[1] = 1

PauliLabel: TypeAlias = Annotated[str, Field(pattern="^[IXYZ]+$")]
# Larger expectations do not fit float32.
Coefficient: TypeAlias = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]


def read_circuit_spec(
    path: str | Path, observables: Sequence[SparsePauliOp] | None = None, names: ParameterNames | None = None
) -> CircuitSpec:
    """Read a trainable circuit from an OpenQASM 3 file.

    By default inputs are the parameters ``x_NNN`` and weights ``theta_NNN``, each in the order of their numbers.

    Args:
        path: UTF-8 file.
        observables: default: those in the metadata file (same name, ``.json``), else ⟨Z_i⟩ on every qubit in order.
        names: which parameters are inputs and weights; default: the metadata's ``input_names`` and ``weight_names``.

    Returns:
        The spec, named like the file; its circuit consists of gates of ``stdgates.inc``.

    Raises:
        CircuitError: the file is missing, not UTF-8 or not OpenQASM 3, a parameter's role is unknown, or
            :class:`CircuitSpec` rejects the circuit.
    """
    path = Path(path)
    circuit, parameters = read_circuit(path)
    if parameters is None:
        raise CircuitError(
            f"{path}: is OpenQASM 2, which has no free parameters to train; write it as OpenQASM 3 with inputs "
            "('circuit draw' shows it)"
        )
    metadata_path = path.with_suffix(".json")
    metadata = _Metadata()
    if observables is None and metadata_path.exists():
        metadata = _read_metadata(metadata_path)
        if metadata.observables is not None:
            observables = [SparsePauliOp.from_list(list(terms.items())) for terms in metadata.observables]
    if observables is None:
        observables = single_qubit_paulis("Z", circuit.num_qubits)
    names = names or ParameterNames(metadata.input_names, metadata.weight_names)
    try:
        inputs, weights = split_parameters(parameters, names)
        spec = CircuitSpec(path.stem, circuit, inputs, weights, tuple(observables), metadata.source)
    except CircuitError as error:
        raise CircuitError(f"{path}: {error}") from error
    for key in ("qubits", "inputs", "weights"):
        stated, count = getattr(metadata, key), getattr(spec, f"num_{key}")
        if stated not in (None, count):
            raise CircuitError(
                f"{metadata_path}: says {stated} {key}, the circuit has {count}; correct or remove the file"
            )
    return spec


def read_circuit(path: str | Path) -> tuple[QuantumCircuit, tuple[Parameter, ...] | None]:
    """Read a circuit from an OpenQASM 3 or OpenQASM 2 file, whether it can be trained or not.

    Returns:
        The circuit, and its inputs in the order of their declaration; None for OpenQASM 2, which has no inputs and may
        contain measurements.

    Raises:
        CircuitError: the file cannot be read or is not OpenQASM.
    """
    path = Path(path)
    text = _read_text(path)
    code = _COMMENTS.sub(" ", text)
    try:
        if not code.strip():
            raise CircuitError("is empty; write OpenQASM 3, such as 'qubit[2] q;' and gates on it")
        if _QASM2_VERSION.match(code):
            if sum(int(size) for size in _QASM2_REGISTERS.findall(code)) > MAX_QUBITS:
                raise CircuitError(f"has more than {MAX_QUBITS:,} qubits or bits; use fewer")
            return _parse_qasm2(text), None
        circuit, parameters = parse_circuit(text, path.stem)
        _check_angle_sizes(circuit)
    except CircuitError as error:
        raise CircuitError(f"{path}: {error}") from error
    except RecursionError as error:
        raise CircuitError(f"{path}: is nested too deeply; use fewer brackets and nested gates") from error
    return circuit, parameters


def exporter_note(path: str | Path) -> str | None:
    """Return a warning about a file that Qiskit's exporter may have changed, None for other files.

    The exporter names the parameters of a gate like inputs of the file, sorts them, and writes the arguments of one call into the
    body, where the next call applies them again. The text alone does not tell what was meant.
    """
    code = _COMMENTS.sub(" ", _read_text(Path(path)))
    inputs = set(_INPUT.findall(code))
    gates = [name for name, names in _GATE.findall(code) if inputs & {each.strip() for each in names.split(",")}]
    if not gates:
        return None
    return (
        f"{path}: parameters of gate {', '.join(gates[:5])} are named like inputs, as Qiskit's exporter writes user-defined "
        "gates, often with wrong arguments; the file is read literally: check it with 'circuit draw', or write it with "
        "circuit_spec_to_qasm"
    )


def _parse_qasm2(text: str) -> QuantumCircuit:
    try:
        circuit = qasm2.loads(
            text,
            include_path=(),
            custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
            custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
        )
    except Exception as error:  # Qiskit's own, OverflowError and others
        reason = error_text(error).removeprefix("<input>:")
        raise CircuitError(f"is not OpenQASM 2 that Qiskit reads: {reason[:200]}") from error
    if circuit.num_qubits == 0:
        raise CircuitError("the circuit has no qubits; give it at least one")
    return circuit


def _read_text(path: Path) -> str:
    try:
        status = path.stat()
        # Opening a pipe would wait for a writer; a directory gives a clear error when it is read.
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise CircuitError(f"{path}: is no regular file; replace it by one")
        if status.st_size > _MAX_BYTES:
            raise CircuitError(
                f"{path}: has {status.st_size:,} bytes, more than the limit of {_MAX_BYTES:,}; shorten it"
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise CircuitError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); give a text file"
        ) from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CircuitError(f"{path}: is UTF-16 and is not UTF-8 text (byte 0); save it as UTF-8")
    if b"\0" in data:
        raise CircuitError(f"{path}: is no text (byte {data.index(0)} is 0); give a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CircuitError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _check_angle_sizes(circuit: QuantumCircuit) -> None:
    """Reject angles so large, with all parameters at 1 and at 2 pi, that rounding destroys their value modulo 2 pi."""
    angles = [angle for instruction in circuit.data for angle in instruction.operation.params]
    for angle in [circuit.global_phase, *angles]:
        # At both values, because an angle such as 1/(x - 1) has a pole at one of them.
        sizes = [_size_at(angle, value) for value in (math.tau, 1.0)]
        if all(size is not None and size >= _MAX_ANGLE for size in sizes):
            text = str(angle) if len(str(angle)) <= 60 else f"{str(angle)[:57]}…"
            size = min(filter(None, sizes))
            raise CircuitError(
                f"angle {text} reaches {size:.3g} radians and loses all digits modulo 2 pi; use smaller numbers"
            )


def _size_at(angle: ParameterExpression | float, value: float) -> float | None:
    """Return the size of an angle with all parameters at one value; infinite at a pole, None outside its domain."""
    if not isinstance(angle, ParameterExpression):
        return abs(angle)
    try:
        size = abs(complex(angle.bind(dict.fromkeys(angle.parameters, value)).numeric()))
    except ArithmeticError:
        return math.inf
    except (RuntimeError, TypeError, ValueError):
        return None
    return None if math.isnan(size) else size


def circuit_metadata(
    spec: CircuitSpec, builder: str | None = None, arguments: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the metadata of a circuit.

    Args:
        spec: the circuit.
        builder: dotted name of the function that built it, if one did.
        arguments: keyword arguments of that call.

    Returns:
        Keys ``format``, ``name``, ``source``, ``builder``, ``arguments``, the counts ``inputs``, ``weights``,
        ``qubits``, ``gates``, ``two_qubit_gates``, ``depth``, ``two_qubit_depth``, and ``observables``: for each one
        its coefficients by Pauli label, with qubit 0 written last. If parameters are not named ``x_NNN`` and
        ``theta_NNN``, as they are in the QASM file, also ``original_input_names`` and ``original_weight_names``.
    """
    metadata = {
        "format": _METADATA_FORMAT,
        "name": spec.name,
        "source": spec.source,
        "builder": builder,
        "arguments": arguments or {},
        "inputs": spec.num_inputs,
        "weights": spec.num_weights,
        **asdict(circuit_resources(spec.circuit)),
        "observables": [_format_observable(observable) for observable in spec.observables],
    }
    for key, prefix, parameters in (
        ("original_input_names", "x", spec.input_parameters),
        ("original_weight_names", "theta", spec.weight_parameters),
    ):
        names = [parameter.name for parameter in parameters]
        if names != [parameter.name for parameter in numbered_parameters(prefix, len(names))]:
            metadata[key] = names
    return metadata


def metadata_text(metadata: dict[str, Any]) -> str:
    """Return the text of a metadata file."""
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"


def _format_observable(observable: SparsePauliOp) -> dict[str, float]:
    terms: dict[str, float] = {}
    for label, coefficient in observable.to_list():
        terms[label] = terms.get(label, 0.0) + coefficient.real
    return terms


class _Metadata(BaseModel):
    """The entries of a metadata file that are read."""

    model_config = ConfigDict(strict=True)

    format: Literal[1] = _METADATA_FORMAT
    source: str = ""
    qubits: int | None = None
    inputs: int | None = None
    weights: int | None = None
    observables: list[Annotated[dict[PauliLabel, Coefficient], Field(min_length=1)]] | None = None
    input_names: tuple[str, ...] | None = None
    weight_names: tuple[str, ...] | None = None


def _read_metadata(path: Path) -> _Metadata:
    try:
        metadata = _Metadata.model_validate_json(_read_text(path))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        entry = " ".join(" ".join(map(str, problem["loc"])).split()) or "file"
        message = f"{path}: {entry}: {problem['msg']}, not {problem['input']!r:.60}"
        raise CircuitError(f'{message}; correct it, as in {{"observables": [{{"ZI": 1.0}}]}}, or remove it') from error
    if metadata.observables is None and metadata.input_names is None and metadata.weight_names is None:
        raise CircuitError(f'{path}: has no observables; add "observables": [{{"Z": 1.0}}]')
    for number, terms in enumerate(metadata.observables or []):
        if len({len(label) for label in terms}) > 1:
            raise CircuitError(f"{path}: observable {number} has labels of different lengths; use one letter per qubit")
    return metadata
