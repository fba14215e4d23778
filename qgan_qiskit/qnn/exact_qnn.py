"""ExactQNN: Qiskit's EstimatorQNN on the exact simulator, which evaluates and differentiates a whole batch at once.

Shape letters: B batch · Q inputs · K weights · O observables · N = B * O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qgan_qiskit.errors import UsageError
from qgan_qiskit.simulation import AdjointEstimatorGradient, ExactEstimator
from qgan_qiskit.simulation.cache import engine_for
from qgan_qiskit.simulation.differentiable import refuse_recorded_backward
from qgan_qiskit.simulation.engine import Engine

# Pairs of image and observable are differentiated together as long as they stay within this many bytes.
_CHUNK_BYTES = 256 << 20


class ExactQNN(EstimatorQNN):
    """An ``EstimatorQNN`` on an :class:`~qgan_qiskit.simulation.ExactEstimator`, batched.

    ``forward`` and ``backward`` return what an ``EstimatorQNN`` on that estimator with an
    :class:`~qgan_qiskit.simulation.AdjointEstimatorGradient` returns, in double precision and in the same shapes, and stand
    behind a ``TorchConnector`` in the same way. They reach the simulator without a PUB for every observable and a copy of
    the circuit for every image. Behind a ``TorchConnector``, ``create_graph=True`` raises ``UsageError``: circuits have no
    second derivative here.

    Example:
        >>> connector = TorchConnector(ExactQNN(circuit=qc, input_params=x, weight_params=w, input_gradients=True))
    """

    def __init__(
        self,
        *,
        circuit: QuantumCircuit,
        observables: Sequence[BaseOperator] | BaseOperator | None = None,
        input_params: Sequence[Parameter] | None = None,
        weight_params: Sequence[Parameter] | None = None,
        input_gradients: bool = False,
        estimator: ExactEstimator | None = None,
    ) -> None:
        """Make the network.

        Args:
            circuit: a unitary circuit.
            observables: one output each; None for Z on all qubits.
            input_params: parameters that take the input data, in its order.
            weight_params: parameters that take the weights, in their order.
            input_gradients: whether ``backward`` also differentiates by the inputs.
            estimator: an :class:`~qgan_qiskit.simulation.ExactEstimator`; None for a new one.

        Raises:
            UsageError: the circuit is none, the estimator is another, or parameters and circuit do not fit.
            CircuitError: the circuit cannot be simulated; the message names the offender.
        """
        if not isinstance(circuit, QuantumCircuit):
            raise UsageError(f"circuit is of type {type(circuit).__name__}: a QuantumCircuit is needed")
        if estimator is not None and not isinstance(estimator, ExactEstimator):
            raise UsageError(
                f"ExactQNN evaluates exactly, not with {type(estimator).__name__}: use EstimatorQNN with that estimator"
            )
        exact = estimator or ExactEstimator()
        try:
            super().__init__(
                circuit=circuit,
                estimator=exact,
                observables=observables,
                input_params=input_params,
                weight_params=weight_params,
                gradient=AdjointEstimatorGradient(exact),
                input_gradients=input_gradients,
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"circuit, observables and parameters do not fit: {error}") from None
        self._engine: Engine | None = None
        self._exact_engine()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the engine, which is found again."""
        return self.__dict__ | {"_engine": None}

    def _exact_engine(self) -> Engine:
        """Return the engine of this circuit; describing the circuit again at every call would only find the same one."""
        if self._engine is None:
            self._engine = engine_for(
                self._org_circuit, self._input_params, self._weight_params, [_pauli_sum(o) for o in self._observables]
            )
        return self._engine

    def _angles(self, input_data: np.ndarray | None, weights: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs (B, Q) and weights (K,); what is missing must have no parameters."""
        for values, count, name in ((input_data, self.num_inputs, "inputs"), (weights, self.num_weights, "weights")):
            if values is None and count:
                raise UsageError(f"the circuit has {count} {name}, and none are given")
        inputs_BQ = np.zeros((1, 0)) if input_data is None else input_data
        weights_K = np.zeros(0) if weights is None else weights
        return torch.tensor(inputs_BQ, dtype=torch.float64), torch.tensor(weights_K, dtype=torch.float64)

    def _forward(self, input_data: np.ndarray | None, weights: np.ndarray | None) -> np.ndarray:
        inputs_BQ, weights_K = self._angles(input_data, weights)
        with torch.no_grad():
            return self._exact_engine().expectations(inputs_BQ[:, None], weights_K[None])[:, 0].numpy()

    def _backward(  # type: ignore[override]  # None without parameters, as the stock network returns
        self, input_data: np.ndarray | None, weights: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        refuse_recorded_backward()
        inputs_BQ, weights_K = self._angles(input_data, weights)
        if not (self.num_inputs if self._input_gradients else 0) + self.num_weights:
            return None, None
        engine, observables = self._exact_engine(), self.output_shape[0]
        # The derivative of each observable for each image: an instance for each pair of them.
        images_N = torch.arange(len(inputs_BQ)).repeat_interleave(observables)
        wanted_N = torch.arange(observables).repeat(len(inputs_BQ))
        size = engine.instances_within(_CHUNK_BYTES, gradient=True)
        by_inputs, by_weights = [], []
        for images, wanted in zip(images_N.split(size), wanted_N.split(size), strict=True):
            inputs_1NQ = inputs_BQ[images][None].requires_grad_(self._input_gradients)
            weights_NK = weights_K.repeat(len(images), 1).requires_grad_()
            with torch.enable_grad():
                # A TorchConnector calls this while gradients are off, so the sum too has to be recorded here.
                total = engine.expectations(inputs_1NQ, weights_NK)[0].gather(1, wanted[:, None]).sum()
            leaves = [inputs_1NQ, weights_NK] if self._input_gradients else [weights_NK]
            *first, last = torch.autograd.grad(total, leaves)
            by_weights.append(last)
            by_inputs += [gradient[0] for gradient in first]
        shape = len(inputs_BQ), observables
        weight_grad = torch.cat(by_weights).numpy().reshape(*shape, self.num_weights)
        if not self._input_gradients:
            return None, weight_grad
        return torch.cat(by_inputs).numpy().reshape(*shape, self.num_inputs), weight_grad


def _pauli_sum(observable: BaseOperator) -> SparsePauliOp:
    if isinstance(observable, SparsePauliOp):
        return observable
    try:
        return SparsePauliOp.from_operator(observable) if hasattr(observable, "data") else SparsePauliOp(observable)
    except Exception:
        raise UsageError(
            f"an observable is of type {type(observable).__name__}: a SparsePauliOp or an operator is needed"
        ) from None
