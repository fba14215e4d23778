"""Circuits as OpenQASM 3 files: written from an ansatz, and read back or from a user's own file."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from pathlib import Path

from qiskit import qasm3
from qiskit.circuit import ParameterExpression, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.affine import affine_form
from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.card import check_counts, observables_of, read_card
from qgan_qiskit.circuits.names import numbered_parameters, split_by_name
from qgan_qiskit.circuits.readouts import single_qubit_paulis
from qgan_qiskit.errors import CircuitError


def ansatz_to_qasm(ansatz: Ansatz) -> str:
    """Return the circuit of an ansatz as OpenQASM 3.

    Parameters are written as ``x_000…`` and ``theta_000…`` in the order of the ansatz's two lists, whatever their names
    were, so that :func:`read_ansatz` gives the lists back in the same order. Qiskit leaves the global phase out.

    Raises:
        CircuitError: if Qiskit has no OpenQASM 3 for a gate.
    """
    old = (*ansatz.input_parameters, *ansatz.weight_parameters)
    new = (*numbered_parameters("x", ansatz.num_inputs), *numbered_parameters("theta", ansatz.num_weights))
    try:
        return qasm3.dumps(ansatz.circuit.assign_parameters(dict(zip(old, new, strict=True))))
    except QiskitError as error:
        raise CircuitError(f"'{ansatz.name}' has no OpenQASM 3 form: {_one_line(error)}; use standard gates") from error


def read_ansatz(path: str | Path, observables: Sequence[SparsePauliOp] | None = None) -> Ansatz:
    """Read an ansatz from an OpenQASM 3 file.

    Inputs of the file named ``x_NNN`` are inputs, ``theta_NNN`` weights, each in the order of their numbers; the angles
    are radians.

    Args:
        path: the file, UTF-8.
        observables: what is measured. Without them the card next to the file (same name, ``.json``) says it; without a
            card it is ⟨Z_i⟩ on every qubit, in the order of the qubits.

    Returns:
        The checked ansatz, named like the file.

    Raises:
        CircuitError: one line that starts with the file name and names the offender: a file that is missing, not UTF-8
            or not OpenQASM 3, a parameter of another name, a physical qubit, or whatever :class:`Ansatz` refuses.
    """
    path = Path(path)
    circuit = _parse(_read(path), path)
    parameters = list(circuit.parameters)
    card_path = path.with_suffix(".json")
    card = read_card(card_path) if observables is None and card_path.exists() else None
    if card is not None:
        observables = observables_of(card, card_path)
    elif observables is None:
        observables = single_qubit_paulis("Z", circuit.num_qubits)
    _drop_zero_phase(circuit)
    try:
        inputs, weights = split_by_name(parameters)
        ansatz = Ansatz(
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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CircuitError(f"{path}: cannot be read ({error.strerror}); give an OpenQASM 3 file") from error
    except UnicodeDecodeError as error:
        raise CircuitError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _parse(text: str, path: Path) -> QuantumCircuit:
    # The parser prints some of its complaints, which would be lines beside our one; and besides its own errors it lets
    # IndexError, TypeError, RecursionError and others through.
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            circuit = qasm3.loads(text)
    except Exception as error:
        reason = (_one_line(error) or _syntax_error(text))[:200]
        raise CircuitError(f"{path}: is not OpenQASM 3 that Qiskit reads: {reason}") from error
    if circuit.layout is not None:
        raise CircuitError(f"{path}: uses physical qubits such as $0; declare 'qubit[{circuit.num_qubits}] q;' instead")
    return circuit


def _syntax_error(text: str) -> str:
    """Return the parser's first complaint; only its permissive mode has one with a line number, and prints it."""
    from openqasm3 import parse

    complaints = io.StringIO()
    with contextlib.redirect_stderr(complaints), contextlib.suppress(Exception):
        parse(text, permissive=True)
    return next(iter(complaints.getvalue().splitlines()), "syntax error")


def _one_line(error: Exception) -> str:
    message = str(error.message if isinstance(error, QiskitError) else error)
    message = " ".join(re.sub(r"^(\d+),(\d+): ", r"line \1, column \2: ", message).split())
    return f"{message}; is 'include \"stdgates.inc\";' missing?" if message.endswith("is not defined.") else message


def _drop_zero_phase(circuit: QuantumCircuit) -> None:
    """Turn a phase such as ``0*x_001`` into a number: Qiskit's reader keeps a declared but unused input that way.

    Without this an input that turns no gate would count as one that does.
    """
    if isinstance(circuit.global_phase, ParameterExpression):
        with contextlib.suppress(CircuitError):
            coefficients, offset = affine_form(circuit.global_phase)
            if not coefficients:
                circuit.global_phase = offset
