"""Exact, batched, differentiable simulation of parameterized circuits, behind Qiskit's own interfaces.

A circuit is lowered to an intermediate representation (``ir``) and compiled: to kernels for the processor at hand (``llvm``),
or to torch operations for any device (``torch_engine``). :class:`ExactEstimator` and :class:`AdjointEstimatorGradient` serve
any ``EstimatorQNN``; :class:`qgan_qiskit.qnn.SubGenerators` calls the engine directly.
"""

from qgan_qiskit.simulation.estimator import AdjointEstimatorGradient, ExactEstimator

__all__ = ["AdjointEstimatorGradient", "ExactEstimator"]
