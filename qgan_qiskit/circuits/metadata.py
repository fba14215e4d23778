"""Counts that say how large and how deep a circuit is.

The card of a circuit: a small JSON file that says how it was built, what is measured and how large it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.circuits.gate_definitions import expand_gates
from qgan_qiskit.circuits.qasm.parameter_names import ParameterNames, numbered_parameters
from qgan_qiskit.errors import CircuitError


@dataclass(frozen=True)
class CircuitResources:
    """Counts of a circuit with its user-defined gates written out into standard gates.

    Attributes:
        qubits: qubits of the circuit, idle ones included.
        gates: gates of any size.
        two_qubit_gates: gates on exactly two qubits.
        depth: longest chain of gates that wait for each other.
        two_qubit_depth: the same, of two-qubit gates alone.
    """

    qubits: int
    gates: int
    two_qubit_gates: int
    depth: int
    two_qubit_depth: int


def circuit_resources(circuit: QuantumCircuit) -> CircuitResources:
    """Count the gates and layers of a unitary circuit; barriers count nothing.

    Args:
        circuit: a circuit that passed :func:`qgan_qiskit.circuits.validation.check_gates`.
    """
    flat = expand_gates(circuit)
    return CircuitResources(
        qubits=flat.num_qubits,
        gates=flat.size(),
        two_qubit_gates=sum(len(gate.qubits) == 2 and gate.operation.name != "barrier" for gate in flat.data),
        depth=flat.depth(),
        two_qubit_depth=flat.depth(
            lambda gate: len(gate.qubits) == 2 and gate.operation.name != "barrier",
        ),
    )


_FORMAT = 1
# Expectations beyond have no place in 32 bits.
_LARGEST = 1e30
_LABEL = re.compile(r"[IXYZ]+")


def circuit_metadata(
    ansatz: CircuitSpec, builder: str | None = None, arguments: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the card of an ansatz, ready for :func:`json.dumps`.

    Args:
        ansatz: the circuit.
        builder: dotted name of the function that built it, if one did.
        arguments: keyword arguments of that call.

    Returns:
        Keys ``format``, ``name``, ``source``, ``builder``, ``arguments``, the counts ``inputs``, ``weights``,
        ``qubits``, ``gates``, ``two_qubit_gates``, ``depth``, ``two_qubit_depth``, and ``observables``: for each one
        its coefficients by Pauli label, with qubit 0 written last. If parameters are not called ``x_NNN`` and
        ``theta_NNN``, as they are in the file beside the card, ``original_input_names`` and ``original_weight_names``.
    """
    card = {
        "format": _FORMAT,
        "name": ansatz.name,
        "source": ansatz.source,
        "builder": builder,
        "arguments": arguments or {},
        "inputs": ansatz.num_inputs,
        "weights": ansatz.num_weights,
        **asdict(circuit_resources(ansatz.circuit)),
        "observables": [_terms(observable) for observable in ansatz.observables],
    }
    for key, prefix, parameters in (
        ("original_input_names", "x", ansatz.input_parameters),
        ("original_weight_names", "theta", ansatz.weight_parameters),
    ):
        names = [parameter.name for parameter in parameters]
        if names != [parameter.name for parameter in numbered_parameters(prefix, len(names))]:
            card[key] = names
    return card


def metadata_text(card: dict[str, Any]) -> str:
    """Return the text of a card file."""
    return json.dumps(card, indent=2, ensure_ascii=False) + "\n"


def read_metadata(path: Path) -> dict[str, Any]:
    """Read a card; for a circuit of one's own ``{"observables": [{"ZI": 1.0}, …]}`` is enough.

    Raises:
        CircuitError: if the file cannot be read, is not a JSON object, or is of a later format.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            # Opening a pipe waits for somebody to write into it.
            raise CircuitError(f"{path}: is no regular file; correct or remove it")
        card = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CircuitError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CircuitError(f"{path}: is not JSON ({error}); correct or remove it") from error
    if not isinstance(card, dict):
        raise CircuitError(f'{path}: is not a JSON object; write {{"observables": [{{"Z": 1.0}}]}}')
    if card.get("format", _FORMAT) != _FORMAT:
        raise CircuitError(f"{path}: has format {card['format']!r}, this version reads format {_FORMAT}")
    return card


def observables_of(card: dict[str, Any], path: Path) -> tuple[SparsePauliOp, ...]:
    """Return the observables that a card lists.

    Args:
        card: what :func:`read_metadata` returned.
        path: its file, for messages.

    Raises:
        CircuitError: if the list is missing or an entry is not a non-empty map from Pauli labels to numbers.
    """
    entries = card.get("observables")
    if not isinstance(entries, list):
        raise CircuitError(f'{path}: has no list \'observables\'; write "observables": [{{"Z": 1.0}}]')
    return tuple(_observable(entry, f"{path}: observable {number}") for number, entry in enumerate(entries))


def names_of(card: dict[str, Any], path: Path) -> ParameterNames:
    """Return what a card says that inputs and weights are called, in lists whose order is theirs.

    Raises:
        CircuitError: ``input_names`` or ``weight_names`` is not a list of names.
    """
    found: dict[str, tuple[str, ...] | None] = {}
    for key in ("input_names", "weight_names"):
        entries = card.get(key)
        if entries is not None and not (isinstance(entries, list) and all(isinstance(name, str) for name in entries)):
            raise CircuitError(f'{path}: \'{key}\' is not a list of names; write "{key}": ["theta[0]", "theta[1]"]')
        found[key] = None if entries is None else tuple(entries)
    return ParameterNames(found["input_names"], found["weight_names"])


def check_counts(card: dict[str, Any], ansatz: CircuitSpec, path: Path) -> None:
    """Refuse a card that was written for another circuit.

    Raises:
        CircuitError: naming the first count in which card and circuit differ.
    """
    for key, count in (("qubits", ansatz.num_qubits), ("inputs", ansatz.num_inputs), ("weights", ansatz.num_weights)):
        if card.get(key, count) != count:
            raise CircuitError(f"{path}: says {card[key]!r} {key}, the circuit has {count}; correct or remove the card")


def _terms(observable: SparsePauliOp) -> dict[str, float]:
    terms: dict[str, float] = {}
    for label, coefficient in observable.to_list():
        terms[label] = terms.get(label, 0.0) + coefficient.real
    return terms


def _observable(entry: Any, what: str) -> SparsePauliOp:
    if not isinstance(entry, dict) or not entry:
        raise CircuitError(f'{what} is {entry!r}; write its coefficients by Pauli label, such as {{"ZI": 1.0}}')
    for label, coefficient in entry.items():
        if not _LABEL.fullmatch(label):
            raise CircuitError(f"{what} has the label {label!r}; use the letters I, X, Y, Z, one per qubit")
        if isinstance(coefficient, bool) or not isinstance(coefficient, int | float):
            raise CircuitError(f"{what} has the coefficient {coefficient!r} of {label}; give a real number")
        if abs(coefficient) > _LARGEST:
            raise CircuitError(f"{what} has a coefficient of {label} beyond {_LARGEST:g}; use smaller numbers")
    if len({len(label) for label in entry}) > 1:
        raise CircuitError(f"{what} has labels of different lengths; use one letter per qubit")
    return SparsePauliOp.from_list(list(entry.items()))
