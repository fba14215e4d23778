"""Gradient variance over random angles (McClean et al. 2018, arXiv 1803.11173), and its decay with the number of qubits.

Shape letters: N random angles · K parameters · W weights · S sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from scipy import stats

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.simulation import AdjointEstimatorGradient
from qgan_qiskit.stats import jackknife_interval

_ROUNDING = 1e-28


@dataclass(frozen=True)
class Decay:
    """Variance ~ exp(-rate * qubits), fitted by least squares to its logarithm.

    Attributes:
        rate: per qubit, in nats; a 2-design has about ln 2 = 0.69.
        low: lower end of its 95 % interval (Student's t of the regression).
        high: upper end.
        offset: logarithm of the fitted variance at 0 qubits.
    """

    rate: float
    low: float
    high: float
    offset: float


def local_and_global(num_qubits: int, pauli: str) -> dict[str, SparsePauliOp]:
    """Return the observables ``local``, a Pauli on the middle qubit, and ``global``, the same Pauli on all qubits.

    As in Cerezo et al. 2021 (arXiv 2001.00550).

    Args:
        num_qubits: of the circuit.
        pauli: ``X``, ``Y`` or ``Z``.
    """
    middle = SparsePauliOp.from_sparse_list([(pauli, [num_qubits // 2], 1.0)], num_qubits)
    return {"local": middle, "global": SparsePauliOp(pauli * num_qubits)}


def gradients(spec: CircuitSpec, observable: SparsePauliOp, values_NK: np.ndarray) -> np.ndarray:
    """Return d<O>/d(weight), shape (N, W), per radian, by adjoint differentiation.

    Args:
        spec: the circuit and its weights.
        observable: O.
        values_NK: angles, a row per gradient, in the order of ``spec.circuit.parameters``.
    """
    count = len(values_NK)
    job = AdjointEstimatorGradient().run(
        [spec.circuit] * count, [observable] * count, list(values_NK), [list(spec.weight_parameters)] * count
    )
    return np.stack(job.result().gradients)


def gradient_variance(gradients_NW: np.ndarray) -> dict[str, Any]:
    """Return the variance of the gradient over random angles, for JSON.

    Returns:
        ``variance``: mean over all weights, with a jackknife interval over the angles; ``first``: that of the first weight,
        as in McClean et al.; ``largest``; ``variances`` of all weights.
    """
    variances_W = _variances(gradients_NW)
    return {
        "samples": len(gradients_NW),
        "variance": jackknife_interval(gradients_NW, lambda rows: float(_variances(rows).mean())),
        "first": float(variances_W[0]),
        "largest": float(variances_W.max()),
        "variances": variances_W.tolist(),
    }


def _variances(gradients_NW: np.ndarray) -> np.ndarray:
    variances: np.ndarray = gradients_NW.var(axis=0, ddof=1)
    # The gradient by a weight that the observable does not depend on is rounding error.
    return np.where(variances > _ROUNDING, variances, 0.0)


def fit_decay(sizes_S: Sequence[int], variances_S: Sequence[float]) -> Decay | None:
    """Fit an exponential to the variances at several numbers of qubits; None for fewer than three above 0.

    Args:
        sizes_S: numbers of qubits, all different.
        variances_S: of the gradient.
    """
    points = [(size, value) for size, value in zip(sizes_S, variances_S, strict=True) if value > 0]
    if len(points) < 3:
        return None
    x, y = np.array(points, dtype=float).T
    line = stats.linregress(x, np.log(y))
    half = float(stats.t.ppf(0.975, len(points) - 2) * line.stderr)
    rate = -float(line.slope)
    return Decay(rate, rate - half, rate + half, float(line.intercept))
