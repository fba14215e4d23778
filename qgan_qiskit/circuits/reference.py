"""The reference circuits: the published sizes of the builders, and their files (OpenQASM 3, drawing, metadata) on disk.

``export_references`` writes the folder ``circuits/`` of the repository, and ``compare_references`` finds what differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.circuits.drawing import draw
from qgan_qiskit.circuits.families import hybridq_ansatz, mediq_ansatz, qgpatch_ansatz
from qgan_qiskit.circuits.qasm import circuit_metadata, metadata_text
from qgan_qiskit.circuits.qasm.writer import circuit_spec_to_qasm
from qgan_qiskit.errors import CircuitError, StorageError

_HYBRIDQ = {"encoding": "ry", "entangler": "cx", "readout": "z"}
_MOSAIQ = {"encoding": "ry_rx", "entangler": "cz", "readout": "x"}
_FOLD = 120
_README_HEAD = """\
# Reference circuits

Written by `qgan-qiskit circuit export`, compared by `qgan-qiskit circuit check`; do not edit by hand.
Each circuit is three files: OpenQASM 3 (`.qasm`), a drawing (`.txt`) and metadata with the observables (`.json`).
Inputs are `x_000…` and weights `theta_000…`, in radians. In Pauli labels qubit 0 comes last.
"""


@dataclass(frozen=True)
class ReferenceCircuit:
    """How a reference circuit is built.

    Attributes:
        builder: a public function of this package.
        arguments: all its keyword arguments, so that a later change of a default cannot change a stored circuit.
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


def build_reference(name: str) -> CircuitSpec:
    """Build a reference circuit.

    Raises:
        CircuitError: there is none of that name.
    """
    if name not in REFERENCE_CIRCUITS:
        raise CircuitError(f"there is no reference circuit '{name}'; choose one of {', '.join(REFERENCE_CIRCUITS)}")
    return REFERENCE_CIRCUITS[name].builder(**REFERENCE_CIRCUITS[name].arguments)


@cache
def _render_files() -> dict[str, str]:
    """Return the text of every file by file name: three per reference circuit, and a table of all."""
    files, all_metadata = {}, []
    for name, reference in REFERENCE_CIRCUITS.items():
        spec = build_reference(name)
        metadata = circuit_metadata(spec, f"qgan_qiskit.circuits.{reference.builder.__name__}", reference.arguments)
        all_metadata.append(metadata)
        files[f"{name}.qasm"] = circuit_spec_to_qasm(spec)
        files[f"{name}.txt"] = f"{draw(spec, 'text', fold=_FOLD)}\n"
        files[f"{name}.json"] = metadata_text(metadata)
    files["README.md"] = _render_readme(all_metadata)
    return files


def export_references(folder: str | Path) -> list[Path]:
    """Write the reference circuits into a folder, which is created if needed; other files there are left alone.

    Returns:
        The files written.

    Raises:
        StorageError: the folder or a file cannot be written.
    """
    folder = Path(folder)
    files = _render_files()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageError(f"{error.filename or folder}: cannot be written ({error.strerror})") from error
    return [folder / name for name in files]


def compare_references(folder: str | Path) -> list[str]:
    """Compare a folder with what the builders give now, ignoring hidden files.

    Returns:
        One line per missing, changed or extra file, by name; empty if all match.

    Raises:
        CircuitError: the folder is missing or cannot be read.
    """
    folder = Path(folder)
    files = _render_files()
    try:
        found = {path.name: path for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise CircuitError(f"{folder}: cannot be read ({error.strerror}); make it with 'circuit export'") from error
    differences = []
    for name in sorted(files.keys() | found.keys()):
        if name not in found:
            differences.append(f"{folder / name}: missing")
        elif name not in files:
            differences.append(f"{folder / name}: extra, no builder writes it")
        elif line := _first_difference(found[name], files[name]):
            differences.append(f"{folder / name}: changed at line {line}")
    return differences


def _first_difference(path: Path, expected: str) -> int:
    """Return the number of the first line that differs, or 0; a file that is not text differs at line 1."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return 1
    pairs = zip_longest(lines, expected.split("\n"))
    return next((number for number, (line, want) in enumerate(pairs, 1) if line != want), 0)


def _render_readme(all_metadata: list[dict[str, Any]]) -> str:
    columns = ("qubits", "inputs", "weights", "two_qubit_gates", "depth", "two_qubit_depth", "source")
    lines = [
        _README_HEAD,
        f"| circuit | {' | '.join(column.replace('_', ' ') for column in columns)} |",
        f"|{'---|' * (len(columns) + 1)}",
        *(f"| `{each['name']}` | {' | '.join(str(each[column]) for column in columns)} |" for each in all_metadata),
    ]
    return "\n".join(lines) + "\n"
