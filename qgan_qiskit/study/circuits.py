"""``study circuits``: expressibility, entangling capability and gradient variance of circuits with random angles.

Files in the study's folder: ``study.json``, ``cells/<circuit>/cell.json``, and the report.

Shape letters: N samples · K parameters.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from qgan_qiskit.analysis.entanglement import haar_entangling, meyer_wallach
from qgan_qiskit.analysis.expressibility import expressibility
from qgan_qiskit.analysis.gradient_variance import gradient_variance, gradients, local_and_global
from qgan_qiskit.analysis.state_fidelity import check_size, fidelities
from qgan_qiskit.circuits import (
    CircuitSpec,
    ParameterNames,
    circuit_resources,
    circuit_spec_to_qasm,
    hybridq_ansatz,
    read_circuit_spec,
)
from qgan_qiskit.config.studies import CircuitsChoice, CircuitsConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.rng import numpy_generator
from qgan_qiskit.stats import t_interval
from qgan_qiskit.study import engine
from qgan_qiskit.study.circuits_report import write_report
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.study_file import Row, Study, flatten


class CircuitsStudy(Study):
    """Circuits measured with equal settings."""

    kind: ClassVar[str] = "circuits"
    settings: CircuitsConfig

    def shared(self) -> dict[str, Any]:
        """Return the settings."""
        return flatten(self.settings)


@dataclass(frozen=True)
class Cell(engine.Cell):
    """One circuit.

    Attributes:
        circuit: its name; of a file, with the first digits of its digest.
        family: shared by the same circuit at other sizes; of a file, the file's name.
        reps: repetitions of the layer; None for a file.
        pauli: measured for the gradients; of a file the one that it measures itself, Z if there are several.
        source: number of qubits, encoding, entangler and readout; or the absolute path of the file.
        names: of the inputs and weights of a file.
    """

    circuit: str
    family: str
    reps: int | None
    pauli: str
    source: tuple[int, str, str, str] | Path
    names: ParameterNames = ParameterNames()  # noqa: RUF009 (it is frozen)

    @property
    def name(self) -> str:
        """Name of the circuit."""
        return self.circuit

    def build(self) -> CircuitSpec:
        """Return the circuit.

        Raises:
            CircuitError: the file cannot be used.
        """
        if isinstance(self.source, Path):
            return read_circuit_spec(self.source, names=self.names)
        assert self.reps is not None
        num_qubits, encoding, entangler, readout = self.source
        return hybridq_ansatz(num_qubits, self.reps, encoding=encoding, entangler=entangler, readout=readout)


def cells_of_family(study: Path, choice: CircuitsChoice) -> list[Cell]:
    """Return a cell for each number of qubits and of repetitions of the built-in family."""
    shape = (choice.encoding, choice.entangler, choice.readout)
    cells = []
    for reps in choice.repetitions():
        for num_qubits in choice.qubit_numbers():
            name = hybridq_ansatz(num_qubits, reps, encoding=shape[0], entangler=shape[1], readout=shape[2]).name
            cells.append(Cell(study, "", name, "_".join(shape), reps, shape[2].upper(), (num_qubits, *shape)))
    return cells


def cells_of_files(study: Path, paths: Sequence[Path], names: ParameterNames | None = None) -> list[Cell]:
    """Return a cell for each OpenQASM 3 file, whose inputs and weights may have names of their own.

    Raises:
        CircuitError: a file cannot be used.
        UsageError: a circuit is named twice.
    """
    cells = []
    names = names or ParameterNames()
    for path in paths:
        spec = read_circuit_spec(path, names=names)
        check_size(str(path), spec.num_qubits)
        digest = hashlib.sha256(circuit_spec_to_qasm(spec).encode()).hexdigest()
        name = f"{path.stem}-{digest[:8]}"
        cells.append(Cell(study, "", name, path.stem, None, _measured_pauli(spec), path.absolute(), names))
    if len({cell.name for cell in cells}) < len(cells):
        raise UsageError("a circuit is named twice: name each once")
    return cells


def _measured_pauli(spec: CircuitSpec) -> str:
    letters = {letter for observable in spec.observables for label in observable.paulis.to_labels() for letter in label}
    letters.discard("I")
    return letters.pop() if len(letters) == 1 else "Z"


def prepare(
    files: Sequence[Path],
    choice: CircuitsChoice,
    settings: CircuitsConfig,
    outdir: Path,
    command: str,
    names: ParameterNames | None = None,
) -> tuple[CircuitsStudy, list[Cell]]:
    """Check everything and return the study with its circuits; nothing is written.

    Args:
        files: OpenQASM 3 files; none for the built-in family.
        choice: sizes and gates of the built-in family.
        settings: shared by all cells.
        outdir: folder of the study, new or with a study of the same settings.
        command: the command line, for the report.
        names: of the inputs and weights of files.

    Raises:
        QganError: in one line that names the culprit and the remedy.
    """
    folder = outdir.absolute()
    cells = cells_of_files(folder, files, names) if files else cells_of_family(folder, choice)
    asked = tuple(cell.name for cell in cells)
    study = CircuitsStudy(folder=folder, settings=settings, cells=asked, commands=(command,))
    return study.preview(), cells


def run(study: CircuitsStudy, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Measure the circuits that are left, write the report and return its files; see :func:`engine.run_study`."""
    return engine.run_study(study, cells, run_cell, executor, _describe, write_report)


def report(outdir: Path) -> list[Path]:
    """Write the report on the finished circuits alone; see :func:`engine.rewrite_report`."""
    return engine.rewrite_report(CircuitsStudy, outdir, write_report)


def run_cell(cell: Cell, *, wait: bool) -> Row:
    """Return a circuit's result, measuring it unless that is done; see :func:`engine.run_once`."""
    return engine.run_once(cell.folder, functools.partial(_measure, cell), wait)


def _describe(row: Row) -> str:
    expressible = row["expressibility"]["equal_width"]["mean"]
    return f"expressibility {expressible:.4g}, entangling {row['entangling']['mean']:.3f}, {row['seconds']:.0f} s"


def random_angles(seed: int, purpose: str, count: int, parameters: int) -> np.ndarray:
    """Return uniform angles in [0, 2 pi), shape (count, K): inputs and weights alike, as Sim et al. 2019 draw them.

    Args:
        seed: of the study.
        purpose: other purposes get other angles.
        count: number of sets.
        parameters: K.
    """
    random = numpy_generator(seed, purpose)
    return random.uniform(0, 2 * np.pi, (count, parameters))


def _measure(cell: Cell, _folder: Path) -> Row:
    begun = time.monotonic()
    spec, settings = cell.build(), cell.open_study(CircuitsStudy).settings
    circuit, seed = spec.circuit, settings.circuit_seed
    parameters, dimension = circuit.num_parameters, 1 << circuit.num_qubits
    pair = [random_angles(seed, purpose, settings.samples, parameters) for purpose in ("first states", "second states")]
    entanglement_N = meyer_wallach(circuit, pair[0])
    gradient_angles_NK = random_angles(seed, "gradients", settings.gradient_samples, parameters)
    row: dict[str, Any] = {
        "circuit": cell.name,
        "family": cell.family,
        "source": str(cell.source) if isinstance(cell.source, Path) else spec.source,
        "num_qubits": circuit.num_qubits,
        "reps": cell.reps,
        "num_inputs": spec.num_inputs,
        "num_weights": spec.num_weights,
        "two_qubit_gates": circuit_resources(circuit).two_qubit_gates,
        "expressibility": expressibility(fidelities(circuit, *pair), dimension, settings.bins, seed),
        "entangling": {
            "samples": settings.samples,
            **t_interval(entanglement_N),
            "haar": haar_entangling(dimension),
            "haar_real": haar_entangling(dimension, real=True),
        },
        "gradients": {"pauli": cell.pauli}
        | {
            name: gradient_variance(gradients(spec, observable, gradient_angles_NK))
            for name, observable in local_and_global(spec.num_qubits, cell.pauli).items()
        },
    }
    return row | {"seconds": round(time.monotonic() - begun, 1)}
