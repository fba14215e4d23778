"""How good generated images are, and whether they memorize training images.

:class:`Evaluator` measures sets of generated images against real ones, each metric as a :class:`MetricResult` with a
confidence interval and a real-vs-real baseline. The metrics themselves are pure functions of feature matrices and images.
"""

from qgan_qiskit.metrics.evaluator import Evaluator
from qgan_qiskit.metrics.features import load_inception
from qgan_qiskit.metrics.fid import frechet_distance
from qgan_qiskit.metrics.results import MetricResult

__all__ = ["Evaluator", "MetricResult", "frechet_distance", "load_inception"]
