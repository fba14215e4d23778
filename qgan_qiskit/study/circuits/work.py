"""One circuit: its expressibility, entangling capability and gradient variances.

Shape letters: N samples · K parameters.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np

from qgan_qiskit.analysis.entanglement import haar_entangling, meyer_wallach
from qgan_qiskit.analysis.expressibility import expressibility
from qgan_qiskit.analysis.gradient_variance import gradient_variance, gradients, observables_of
from qgan_qiskit.analysis.state_fidelity import fidelities
from qgan_qiskit.circuits import CircuitSpec, circuit_resources
from qgan_qiskit.rng import numpy_generator
from qgan_qiskit.stats import t_interval
from qgan_qiskit.study.cells import Row, run_once
from qgan_qiskit.study.circuits.plan import Cell


def work_on(cell: Cell, wait: bool) -> Row:
    """Return a circuit's row, from its folder if it is done.

    Args:
        cell: the circuit.
        wait: for another process that works on it.
    """
    return run_once(cell.folder, functools.partial(_measured, cell), wait)


def random_angles(seed: int, use: str, count: int, parameters: int) -> np.ndarray:
    """Return uniform angles in [0, 2 pi), shape (count, K): inputs and weights alike, as Sim et al. 2019 draw them.

    Args:
        seed: of the study.
        use: what they are for; other uses get other angles.
        count: number of sets.
        parameters: K.
    """
    random = numpy_generator(seed, use)
    return random.uniform(0, 2 * np.pi, (count, parameters))


def _measured(cell: Cell, _folder: Path) -> Row:
    begun = time.monotonic()
    ansatz, settings = cell.ansatz(), cell.settings
    circuit, seed = ansatz.circuit, settings.circuit_seed
    parameters, dimension = circuit.num_parameters, 1 << circuit.num_qubits
    pair = [random_angles(seed, use, settings.samples, parameters) for use in ("first states", "second states")]
    entanglement_N = meyer_wallach(circuit, pair[0])
    row: dict[str, Any] = {
        "circuit": cell.name,
        "family": cell.family,
        "source": str(cell.source) if isinstance(cell.source, Path) else ansatz.source,
        "num_qubits": circuit.num_qubits,
        "reps": cell.reps,
        "num_inputs": ansatz.num_inputs,
        "num_weights": ansatz.num_weights,
        "two_qubit_gates": circuit_resources(circuit).two_qubit_gates,
        "expressibility": expressibility(fidelities(circuit, *pair), dimension, settings.bins, seed),
        "entangling": {
            "samples": settings.samples,
            **t_interval(entanglement_N),
            "haar": haar_entangling(dimension),
            "haar_real": haar_entangling(dimension, real=True),
        },
        "gradients": _gradients(cell, ansatz),
    }
    return row | {"seconds": round(time.monotonic() - begun, 1)}


def _gradients(cell: Cell, ansatz: CircuitSpec) -> dict[str, Any]:
    settings = cell.settings
    angles_NK = random_angles(
        settings.circuit_seed, "gradients", settings.gradient_samples, ansatz.circuit.num_parameters
    )
    return {"pauli": cell.pauli} | {
        name: gradient_variance(gradients(ansatz, observable, angles_NK))
        for name, observable in observables_of(ansatz.num_qubits, cell.pauli).items()
    }
