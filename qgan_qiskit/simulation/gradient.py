"""AdjointEstimatorGradient: all derivatives of expectation values from one backward walk, behind Qiskit's gradient interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.algorithm_job import AlgorithmJob
from qiskit_machine_learning.gradients import BaseEstimatorGradient, EstimatorGradientResult

from qgan_qiskit.errors import UsageError
from qgan_qiskit.simulation.autograd import refuse_recorded_backward
from qgan_qiskit.simulation.engine_cache import circuit_key, engine_for
from qgan_qiskit.simulation.estimator import ExactEstimator

# Bindings are differentiated together as long as they stay within this many bytes.
_CHUNK_BYTES = 256 << 20


class AdjointEstimatorGradient(BaseEstimatorGradient):
    """Exact gradients by adjoint differentiation (Jones and Gacon, arXiv 2009.02823).

    The cost does not depend on the number of parameters, unlike the parameter shift's two executions for each. It
    simulates, so it belongs beside an :class:`ExactEstimator`; for shots or hardware use ``ParamShiftEstimatorGradient``.
    """

    def __init__(self, estimator: BaseEstimatorV2 | None = None) -> None:
        """Make the gradient.

        Args:
            estimator: an :class:`ExactEstimator`, or None for a new one.

        Raises:
            UsageError: the estimator samples or runs on hardware, where this gradient would not be of its values.
        """
        if estimator is not None and not isinstance(estimator, ExactEstimator):
            raise UsageError(
                f"AdjointEstimatorGradient differentiates exact values, not those of {type(estimator).__name__}: "
                "use ParamShiftEstimatorGradient with it"
            )
        super().__init__(estimator or ExactEstimator())

    def run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[BaseOperator],
        parameter_values: Sequence[Sequence[float]] | np.ndarray | None = None,
        parameters: Sequence[Sequence[Parameter] | None] | None = None,
        **options: Any,
    ) -> AlgorithmJob:
        """Start a job that differentiates, as Qiskit Machine Learning's gradients do.

        Raises:
            UsageError: there are no observables, as in the call of a ``SamplerQNN``; or torch would differentiate the gradient
                again.
        """
        if parameter_values is None:
            raise UsageError(
                "AdjointEstimatorGradient differentiates expectations, and no observables are given, as a SamplerQNN calls it: "
                "use it with EstimatorQNN"
            )
        # A TorchConnector hands gradients on as constants.
        refuse_recorded_backward()
        return super().run(circuits, observables, parameter_values, parameters, **options)

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[BaseOperator],
        parameter_values: Sequence[Sequence[float]] | np.ndarray,
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> EstimatorGradientResult:
        groups: dict[object, list[int]] = {}
        keys: dict[int, object] = {}
        for number, circuit in enumerate(circuits):
            # The same object stands in the list once per image and observable; describe it once.
            if id(circuit) not in keys:
                keys[id(circuit)] = circuit_key(circuit)
            groups.setdefault((keys[id(circuit)], tuple(circuit.parameters)), []).append(number)
        gradients: list[np.ndarray] = [np.empty(0)] * len(circuits)
        for members in groups.values():
            circuit = circuits[members[0]]
            jacobian = _gradients(
                circuit,
                [observables[n] for n in members],
                np.asarray([parameter_values[n] for n in members], dtype=float),
            )
            column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
            for row, number in enumerate(members):
                gradients[number] = jacobian[row, [column[p] for p in parameters[number]]]
        metadata = [{"parameters": list(p), "derivative_type": self.derivative_type} for p in parameters]
        return EstimatorGradientResult(gradients=gradients, metadata=metadata, options=self._default_options)


def _pauli_sum(observable: object) -> SparsePauliOp:
    match observable:
        case SparsePauliOp():
            return observable
        case SparseObservable():
            return SparsePauliOp.from_sparse_observable(observable.as_paulis())
        case Pauli() | PauliList() | str():
            return SparsePauliOp(observable)
        case Mapping():
            return _pauli_sum(SparseObservable.from_list(list(observable.items())))
        case BaseOperator():
            return SparsePauliOp.from_operator(Operator(observable))
    raise UsageError(f"observable is a {type(observable).__name__}; give a SparsePauliOp")


def _gradients(circuit: QuantumCircuit, observables: Sequence[BaseOperator], values_NK: np.ndarray) -> np.ndarray:
    """Return d<O_n>/d(parameter k) at binding n, shape (N, K); each row has its own observable."""
    distinct: list[SparsePauliOp] = []
    columns: list[int] = []
    seen: dict[int, int] = {}
    for observable in observables:
        if id(observable) not in seen:
            operator = _pauli_sum(observable)
            seen[id(observable)] = len(distinct)
            distinct.append(operator)
        columns.append(seen[id(observable)])
    engine = engine_for(circuit, (), circuit.parameters, distinct)
    values = torch.from_numpy(np.ascontiguousarray(values_NK))
    column = torch.tensor(columns)
    size = engine.instances_within(_CHUNK_BYTES, gradient=True)
    parts = []
    for chunk, wanted in zip(values.split(size), column.split(size), strict=True):
        weights = chunk.clone().requires_grad_()
        with torch.enable_grad():
            evs = engine.expectations(torch.zeros(1, len(chunk), 0, dtype=torch.float64), weights)[0]
            # Row n depends on binding n only, so the gradient of this sum is the gradient of each row's own value.
            total = evs.gather(1, wanted[:, None]).sum()
        parts.append(torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)[0])
    return torch.cat(parts).numpy()
