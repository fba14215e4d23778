"""Circuit + estimator -> EstimatorQNN -> TorchConnector, and P of them as one module."""

from qgan_qiskit.qnn.exact_qnn import ExactQNN
from qgan_qiskit.qnn.sub_generators import SubGenerators

__all__ = ["ExactQNN", "SubGenerators"]
