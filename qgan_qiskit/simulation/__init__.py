"""Exact, batched, differentiable simulation of parameterized circuits, behind Qiskit's own interfaces.

A circuit is lowered to three kinds of operation (``lowering``), put into stages (``schedule``), and compiled: to kernels for
the processor at hand (``native``), or to torch operations for any device (``portable``). :class:`ExactEstimator` and
:class:`AdjointEstimatorGradient` are the doors for any ``EstimatorQNN``; ``qnn.SubGenerators`` goes to the engine directly.
"""

from qgan_qiskit.simulation.estimator import ExactEstimator
from qgan_qiskit.simulation.gradient import AdjointEstimatorGradient

__all__ = ["AdjointEstimatorGradient", "ExactEstimator"]
