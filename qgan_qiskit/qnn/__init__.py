"""Circuit + estimator -> EstimatorQNN -> TorchConnector, and P of them as one module."""

from qgan_qiskit.qnn.exact_qnn import ExactQNN
from qgan_qiskit.qnn.sub_generators import SubGenerators, set_execution

__all__ = ["ExactQNN", "SubGenerators", "set_execution"]
