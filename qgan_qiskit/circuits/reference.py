"""The cabinet of reference circuits: which ones there are, and their files on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.circuits.drawing import draw
from qgan_qiskit.circuits.families import hybridq_ansatz, mediq_ansatz, qgpatch_ansatz
from qgan_qiskit.circuits.metadata import circuit_metadata, metadata_text
from qgan_qiskit.circuits.qasm.files import circuit_spec_to_qasm
from qgan_qiskit.errors import CircuitError, StorageError

_HYBRIDQ = {"encoding": "ry", "entangler": "cx", "readout": "z"}
_MOSAIQ = {"encoding": "ry_rx", "entangler": "cz", "readout": "x"}
_FOLD = 120


@dataclass(frozen=True)
class ReferenceCircuit:
    """How a reference circuit is built.

    Attributes:
        builder: a function of this room.
        arguments: its keyword arguments; every one is spelled out, so that a later change of a default cannot change a
            stored circuit.
    """

    builder: Callable[..., CircuitSpec]
    arguments: dict[str, Any]


REFERENCE_CIRCUITS: dict[str, ReferenceCircuit] = {
    "hybridq_q4_r2": ReferenceCircuit(hybridq_ansatz, {"num_qubits": 4, "reps": 2, **_HYBRIDQ}),
    "hybridq_q10_r6": ReferenceCircuit(hybridq_ansatz, {"num_qubits": 10, "reps": 6, **_HYBRIDQ}),
    "hybridq_q10_r6_ry_cz_z": ReferenceCircuit(
        hybridq_ansatz, {"num_qubits": 10, "reps": 6, **_HYBRIDQ, "entangler": "cz"}
    ),
    "mosaiq_q5_r6": ReferenceCircuit(hybridq_ansatz, {"num_qubits": 5, "reps": 6, **_MOSAIQ}),
    "mosaiq_q10_r6": ReferenceCircuit(hybridq_ansatz, {"num_qubits": 10, "reps": 6, **_MOSAIQ}),
    "mediq_q16_r8": ReferenceCircuit(mediq_ansatz, {"num_qubits": 16, "reps": 8, "readout": "mean"}),
    "qgpatch_q5_a1_r5": ReferenceCircuit(qgpatch_ansatz, {"num_qubits": 5, "reps": 5, "num_ancillas": 1}),
    "qgpatch_q5_a1_r6": ReferenceCircuit(qgpatch_ansatz, {"num_qubits": 5, "reps": 6, "num_ancillas": 1}),
}


def drawer(name: str) -> CircuitSpec:
    """Build the reference circuit of a drawer.

    Raises:
        CircuitError: if there is no drawer of that name.
    """
    if name not in REFERENCE_CIRCUITS:
        raise CircuitError(f"there is no drawer '{name}'; choose one of {', '.join(REFERENCE_CIRCUITS)}")
    return REFERENCE_CIRCUITS[name].builder(**REFERENCE_CIRCUITS[name].arguments)


def contents() -> dict[str, str]:
    """Return the text of every file of the cabinet by file name: three per drawer and a table of all."""
    files = {}
    cards = []
    for name, entry in REFERENCE_CIRCUITS.items():
        ansatz = drawer(name)
        card = circuit_metadata(ansatz, f"qgan_qiskit.circuits.{entry.builder.__name__}", entry.arguments)
        cards.append(card)
        files[f"{name}.qasm"] = circuit_spec_to_qasm(ansatz)
        files[f"{name}.txt"] = f"{draw(ansatz, 'text', fold=_FOLD)}\n"
        files[f"{name}.json"] = metadata_text(card)
    files["README.md"] = _table(cards)
    return files


def export(folder: str | Path) -> list[Path]:
    """Write the cabinet into a folder, which is made if needed; other files there are left alone.

    Returns:
        The files written.

    Raises:
        StorageError: if the folder or a file cannot be written.
    """
    folder = Path(folder)
    files = contents()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageError(f"{error.filename or folder}: cannot be written ({error.strerror})") from error
    return [folder / name for name in files]


def check(folder: str | Path) -> list[str]:
    """Compare a folder with the cabinet that the builders give now.

    Hidden files are passed over, because desktops leave them everywhere.

    Returns:
        One line per missing, changed or surplus file, by name; empty if all match.

    Raises:
        CircuitError: if the folder is missing or cannot be read.
    """
    folder = Path(folder)
    files = contents()
    try:
        found = {path.name: path for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise CircuitError(f"{folder}: cannot be read ({error.strerror}); make it with 'circuit export'") from error
    differences = []
    for name in sorted(files.keys() | found.keys()):
        if name not in found:
            differences.append(f"{folder / name}: missing")
        elif name not in files:
            differences.append(f"{folder / name}: surplus, no builder prints it")
        elif line := _first_difference(found[name], files[name]):
            differences.append(f"{folder / name}: changed at line {line}")
    return differences


def _first_difference(path: Path, expected: str) -> int:
    """Return the number of the first line that differs, or 0; a file that is not text differs at line 1."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return 1
    wanted = expected.split("\n")
    pairs = zip(lines, wanted, strict=False)
    first = next((number for number, (line, want) in enumerate(pairs, 1) if line != want), 0)
    return first or (min(len(lines), len(wanted)) + 1 if len(lines) != len(wanted) else 0)


def _table(cards: list[dict[str, Any]]) -> str:
    columns = ("qubits", "inputs", "weights", "two_qubit_gates", "depth", "two_qubit_depth", "source")
    lines = [
        "# Reference circuits",
        "",
        "Printed by `qgan-qiskit circuit export`, compared by `qgan-qiskit circuit check`; do not edit by hand.",
        "Each circuit is three files: OpenQASM 3 (`.qasm`), a drawing (`.txt`) and a card with the observables (`.json`).",
        "Inputs are `x_000…` and weights `theta_000…`, in radians. In Pauli labels qubit 0 comes last.",
        "",
        f"| circuit | {' | '.join(column.replace('_', ' ') for column in columns)} |",
        f"|{'---|' * (len(columns) + 1)}",
    ]
    lines += [f"| `{card['name']}` | {' | '.join(str(card[column]) for column in columns)} |" for card in cards]
    return "\n".join(lines) + "\n"
