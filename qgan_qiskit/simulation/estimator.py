"""Qiskit's estimator and gradient interfaces on the exact engines.

:class:`ExactEstimator` returns expectations without sampling error, :class:`AdjointEstimatorGradient` all their derivatives
from one backward pass. Both compute in double precision and split large requests so that they fit into memory.

Shape letters: N bindings · K parameters · O observables.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, PrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers import DataBin, EstimatorPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.algorithm_job import AlgorithmJob
from qiskit_machine_learning.gradients import BaseEstimatorGradient, EstimatorGradientResult

from qgan_qiskit.errors import UsageError
from qgan_qiskit.simulation.engine import refuse_recorded_backward
from qgan_qiskit.simulation.engine_cache import circuit_key, engine_for

# Bindings are evaluated together as long as they stay within this many bytes.
_CHUNK_BYTES = 256 << 20


class ExactEstimator(BaseEstimatorV2):
    """Exact expectation values of unitary circuits, in double precision.

    All bindings of a PUB are simulated together, and PUBs of one :meth:`run` call that share circuit and bindings (as those
    of an ``EstimatorQNN`` with several observables do) share the simulation. A precision is accepted and always met: the
    values carry no sampling error, so ``stds`` is zero.

    Example:
        >>> EstimatorQNN(circuit=qc, estimator=ExactEstimator(), gradient=AdjointEstimatorGradient(), ...)
    """

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Estimate the expectation values of PUBs.

        Args:
            pubs: ``(circuit, observables[, parameter values[, precision]])`` tuples; observables and parameter values
                broadcast against each other as NumPy arrays do.
            precision: target precision of PUBs that have none; recorded in the metadata.

        Returns:
            A job whose result holds for each PUB ``data.evs`` and ``data.stds`` (zeros) in the broadcast shape.

        Raises:
            CircuitError: from ``job.result()``, if a circuit is not unitary; the message names the instruction.
            ValueError: a PUB is malformed or the precision is negative.
            UsageError: a PUB is one for a sampler, as a ``SamplerQNN`` sends.
        """
        coerced = [EstimatorPub.coerce(_refuse_sampler_pub(pub), precision) for pub in pubs]
        job = PrimitiveJob(_run_pubs, coerced)
        job._submit()
        return job


def _refuse_sampler_pub(pub: EstimatorPubLike) -> EstimatorPubLike:
    """Return a PUB, unless it has numbers in the place of its observables: Qiskit's message would be about the numbers."""
    first = pub[1] if isinstance(pub, tuple) and len(pub) > 1 else None
    while (isinstance(first, list | tuple) or (isinstance(first, np.ndarray) and first.ndim)) and len(first):
        first = first[0]
    if isinstance(first, numbers.Number):
        raise UsageError(
            "ExactEstimator got parameter values in place of observables, as a SamplerQNN sends: it is no sampler; use "
            "EstimatorQNN with projectors as observables, or a sampler of Qiskit's"
        )
    return pub


def _run_pubs(pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
    keys = _circuit_keys([pub.circuit for pub in pubs])
    groups: dict[object, list[int]] = {}
    for number, (pub, key) in enumerate(zip(pubs, keys, strict=True)):
        groups.setdefault((key, _bindings(pub).tobytes(), pub.parameter_values.shape), []).append(number)
    results: list[PubResult | None] = [None] * len(pubs)
    for members in groups.values():
        for number, result in zip(members, _run_group([pubs[n] for n in members]), strict=True):
            results[number] = result
    return PrimitiveResult(results, metadata={"version": 2})


def _circuit_keys(circuits: Sequence[QuantumCircuit]) -> list[object]:
    """Return a key of each circuit and its order of parameters; the same object often comes many times."""
    known: dict[int, object] = {}
    for circuit in circuits:
        if id(circuit) not in known:
            # Values come in the circuit's order of parameters, on which a global phase has an influence too.
            known[id(circuit)] = circuit_key(circuit), tuple(circuit.parameters)
    return [known[id(circuit)] for circuit in circuits]


def _bindings(pub: EstimatorPub) -> np.ndarray:
    """Return the parameter values of a PUB, shape (N, K), in the circuit's order of parameters."""
    if not pub.circuit.num_parameters:
        return np.zeros((max(pub.parameter_values.size, 1), 0))
    return pub.parameter_values.as_array(pub.circuit.parameters).reshape(-1, pub.circuit.num_parameters)


def _run_group(pubs: list[EstimatorPub]) -> list[PubResult]:
    """Simulate once for PUBs of the same circuit and bindings."""
    circuit, values_NK = pubs[0].circuit, _bindings(pubs[0])
    distinct: dict[object, int] = {}
    operators: list[SparsePauliOp] = []
    columns = []
    for pub in pubs:
        column = np.zeros(pub.observables.shape, dtype=int)
        for index in np.ndindex(pub.observables.shape):
            observable = pub.observables[index]
            key = tuple(observable.items())
            if key not in distinct:
                distinct[key] = len(operators)
                operators.append(_to_operator(observable, circuit.num_qubits))
            column[index] = distinct[key]
        columns.append(column)
    if circuit.num_qubits:
        evs_NO = expectation_values(circuit, operators, values_NK)
    else:  # the state is the number 1
        evs_NO = np.tile([operator.coeffs.sum().real for operator in operators], (len(values_NK), 1))
    results = []
    for pub, column in zip(pubs, columns, strict=True):
        rows = np.arange(len(values_NK)).reshape(pub.parameter_values.shape)
        row, column = np.broadcast_arrays(rows, column)
        evs = evs_NO[row, column]
        data = DataBin(evs=evs, stds=np.zeros_like(evs), shape=evs.shape)
        metadata = {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata}
        results.append(PubResult(data, metadata=metadata))
    return results


def _to_operator(observable: Mapping[str, float], num_qubits: int) -> SparsePauliOp:
    """Convert a PUB's observable (Paulis and the projectors 0 1 + - r l) to a Pauli sum."""
    if not num_qubits:
        return SparsePauliOp([""], [sum(observable.values())])
    if not observable:
        return SparsePauliOp("I" * num_qubits, [0.0])
    paulis = SparseObservable.from_list(list(observable.items())).as_paulis()
    return SparsePauliOp.from_sparse_observable(paulis).simplify()


def expectation_values(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], values_NK: np.ndarray
) -> np.ndarray:
    """Return <O_o> for every binding, shape (N, O), float64.

    Args:
        circuit: a unitary circuit.
        observables: Pauli sums on its qubits.
        values_NK: one row per binding, in the order of ``circuit.parameters``; radians.
    """
    # Every binding is an instance with weights of its own and one image without inputs.
    engine = engine_for(circuit, (), circuit.parameters, observables)
    values = torch.from_numpy(np.ascontiguousarray(values_NK, dtype=np.float64))
    size = engine.instances_within(_CHUNK_BYTES, gradient=False)
    with torch.no_grad():
        parts = [engine.expectations(_no_inputs(len(chunk)), chunk)[0] for chunk in values.split(size)]
    return torch.cat(parts).numpy()


def _no_inputs(instances: int) -> torch.Tensor:
    return torch.zeros(1, instances, 0, dtype=torch.float64)


class AdjointEstimatorGradient(BaseEstimatorGradient):
    """Exact gradients by adjoint differentiation (Jones and Gacon, arXiv 2009.02823).

    The cost does not depend on the number of parameters, unlike the parameter shift's two executions for each. It
    simulates, so it belongs with an :class:`ExactEstimator`; for shots or hardware use ``ParamShiftEstimatorGradient``.
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
        for number, key in enumerate(_circuit_keys(circuits)):
            groups.setdefault(key, []).append(number)
        gradients: list[np.ndarray] = [np.empty(0)] * len(circuits)
        for members in groups.values():
            circuit = circuits[members[0]]
            values_NK = np.asarray([parameter_values[n] for n in members], dtype=float)
            gradient_NK = _gradients(circuit, [observables[n] for n in members], values_NK)
            column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
            for row, number in enumerate(members):
                gradients[number] = gradient_NK[row, [column[p] for p in parameters[number]]]
        metadata = [{"parameters": list(p), "derivative_type": self.derivative_type} for p in parameters]
        return EstimatorGradientResult(gradients=gradients, metadata=metadata, options=self._default_options)


def to_pauli_sum(observable: object) -> SparsePauliOp:
    """Convert an observable of any kind that Qiskit has to a Pauli sum.

    Raises:
        UsageError: it is none.
    """
    match observable:
        case SparsePauliOp():
            return observable
        case SparseObservable():
            return SparsePauliOp.from_sparse_observable(observable.as_paulis())
        case Pauli() | PauliList() | str():
            return SparsePauliOp(observable)
        case Mapping():
            return to_pauli_sum(SparseObservable.from_list(list(observable.items())))
        case BaseOperator():
            return SparsePauliOp.from_operator(Operator(observable))
    raise UsageError(f"observable is a {type(observable).__name__}; give a SparsePauliOp")


def _gradients(circuit: QuantumCircuit, observables: Sequence[BaseOperator], values_NK: np.ndarray) -> np.ndarray:
    """Return d<O_n>/d(parameter k) at binding n, shape (N, K); each row has its own observable."""
    distinct = {id(observable): observable for observable in observables}
    number = {key: i for i, key in enumerate(distinct)}
    engine = engine_for(circuit, (), circuit.parameters, [to_pauli_sum(o) for o in distinct.values()])
    values = torch.from_numpy(np.ascontiguousarray(values_NK))
    column = torch.tensor([number[id(observable)] for observable in observables])
    size = engine.instances_within(_CHUNK_BYTES, gradient=True)
    parts = []
    for chunk, wanted in zip(values.split(size), column.split(size), strict=True):
        weights = chunk.clone().requires_grad_()
        with torch.enable_grad():
            evs = engine.expectations(_no_inputs(len(chunk)), weights)[0]
            # Row n depends on binding n only, so the gradient of this sum is the gradient of each row's own value.
            total = evs.gather(1, wanted[:, None]).sum()
        parts.append(torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)[0])
    return torch.cat(parts).numpy()
