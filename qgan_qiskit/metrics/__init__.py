"""How good generated images are, and whether they are copies.

``evaluator.py`` holds the real images and measures generated ones against them; a :class:`MetricResult` is one result.
``inception.py`` is the network; ``features.py`` opens it and reads images with it. The maths is in pure functions of feature
matrices (``frechet.py``, ``kernel.py``, ``inception_score.py``, ``neighbors.py``, ``memorization.py``) and of pixels
(``similarity.py``, ``pixels.py``). ``measures.py`` makes estimates of them, with the resamplings of ``resampling.py``;
``copies.py`` looks for copies of training images; ``table.py`` prints.
"""

from qgan_qiskit.metrics.evaluator import Evaluator
from qgan_qiskit.metrics.features import open_network
from qgan_qiskit.metrics.fid import frechet_distance
from qgan_qiskit.metrics.results import MetricResult

__all__ = ["Evaluator", "MetricResult", "frechet_distance", "open_network"]
