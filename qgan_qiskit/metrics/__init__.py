"""Feature extractors, and pure functions of feature matrices."""

from qgan_qiskit.metrics.frechet import frechet_distance

__all__ = ["frechet_distance"]
