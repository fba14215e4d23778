"""The circuits of a study: a grid of the built-in family, or files.

Files of the study's folder: ``study.json`` says what the cells share, and refuses others; ``cells/<circuit>/cell.json``; and the
report (``report.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qgan_qiskit.analysis.state_fidelity import check_size
from qgan_qiskit.circuits import CircuitSpec, ParameterNames, circuit_spec_to_qasm, hybridq_ansatz, read_circuit_spec
from qgan_qiskit.config.studies import CircuitsChoice, CircuitsConfig
from qgan_qiskit.errors import UsageError

KIND = "circuits"


@dataclass(frozen=True)
class Cell:
    """One circuit.

    Attributes:
        root: folder of the study, absolute.
        name: of the circuit, or of its file with the first digits of its digest.
        family: what it has in common with the same circuit at other sizes; the file's name for a file.
        reps: repetitions of the layer; None for a file.
        pauli: measured for the gradients; of a file the one that it measures, Z if there are several.
        source: number of qubits, encoding, entangler and readout, or the absolute path of the file.
        settings: what all cells share.
        names: what the inputs and weights of a file are called.
    """

    root: Path
    name: str
    family: str
    reps: int | None
    pauli: str
    source: tuple[int, str, str, str] | Path
    settings: CircuitsConfig
    names: ParameterNames = ParameterNames()  # noqa: RUF009 (it is frozen)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def folder(self) -> Path:
        """Where its result is kept."""
        return self.root / "cells" / self.name

    def ansatz(self) -> CircuitSpec:
        """Return the circuit.

        Raises:
            CircuitError: the file cannot be used.
        """
        if isinstance(self.source, Path):
            return read_circuit_spec(self.source, names=self.names)
        assert self.reps is not None
        num_qubits, encoding, entangler, readout = self.source
        return hybridq_ansatz(num_qubits, self.reps, encoding=encoding, entangler=entangler, readout=readout)


def cells_of_family(root: Path, choice: CircuitsChoice, settings: CircuitsConfig) -> list[Cell]:
    """Return a cell for each number of qubits and of repetitions."""
    shape = (choice.encoding, choice.entangler, choice.readout)
    found = []
    for reps in choice.repetitions():
        for num_qubits in choice.qubit_numbers():
            source = (num_qubits, *shape)
            name = hybridq_ansatz(num_qubits, reps, encoding=shape[0], entangler=shape[1], readout=shape[2]).name
            found.append(Cell(root, name, "_".join(shape), reps, shape[2].upper(), source, settings))
    return found


def cells_of_files(
    root: Path, paths: Sequence[Path], settings: CircuitsConfig, names: ParameterNames | None = None
) -> list[Cell]:
    """Return a cell for each OpenQASM 3 file, whose inputs and weights may have names of their own.

    Raises:
        CircuitError: a file cannot be used.
        UsageError: a circuit is named twice.
    """
    found = []
    names = names or ParameterNames()
    for path in paths:
        ansatz = read_circuit_spec(path, names=names)
        check_size(str(path), ansatz.num_qubits)
        digest = hashlib.sha256(circuit_spec_to_qasm(ansatz).encode()).hexdigest()
        found.append(
            Cell(root, f"{path.stem}-{digest[:8]}", path.stem, None, _pauli(ansatz), path.absolute(), settings, names)
        )
    if len({cell.name for cell in found}) < len(found):
        raise UsageError("a circuit is named twice: name each once")
    return found


def _pauli(ansatz: CircuitSpec) -> str:
    letters = {
        letter for observable in ansatz.observables for label in observable.paulis.to_labels() for letter in label
    }
    letters.discard("I")
    return letters.pop() if len(letters) == 1 else "Z"
