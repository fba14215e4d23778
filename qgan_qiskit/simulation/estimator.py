"""ExactEstimator: expectations without sampling, behind Qiskit's estimator interface."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, PrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers import DataBin, EstimatorPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from qgan_qiskit.errors import UsageError
from qgan_qiskit.simulation.engine_cache import circuit_key, engine_for

# Bindings are simulated together as long as they stay within this many bytes.
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
            precision: target precision of PUBs that bring none; recorded in the metadata.

        Returns:
            A job whose result holds for each PUB ``data.evs`` and ``data.stds`` (zeros) in the broadcast shape.

        Raises:
            CircuitError: from ``job.result()``, if a circuit is not unitary; the message names the instruction.
            ValueError: a PUB is malformed or the precision is negative.
            UsageError: a PUB is one for a sampler, as a ``SamplerQNN`` sends.
        """
        coerced = [EstimatorPub.coerce(_checked(pub), precision) for pub in pubs]
        job = PrimitiveJob(_run, coerced)
        job._submit()
        return job


def _checked(pub: EstimatorPubLike) -> EstimatorPubLike:
    """Return a PUB, unless numbers stand where its observables should: Qiskit's message would be of these numbers."""
    first = pub[1] if isinstance(pub, tuple) and len(pub) > 1 else None
    while (isinstance(first, list | tuple) or (isinstance(first, np.ndarray) and first.ndim)) and len(first):
        first = first[0]
    if isinstance(first, numbers.Number):
        raise UsageError(
            "ExactEstimator got parameter values in place of observables, as a SamplerQNN sends: it is no sampler; use "
            "EstimatorQNN with projectors as observables, or a sampler of Qiskit's"
        )
    return pub


def _run(pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
    groups: dict[object, list[int]] = {}
    keys: dict[int, object] = {}
    for number, pub in enumerate(pubs):
        # An EstimatorQNN sends the same circuit once per observable; describe it once.
        if id(pub.circuit) not in keys:
            keys[id(pub.circuit)] = circuit_key(pub.circuit)
        # Values come in the circuit's order of parameters, which a global phase decides too.
        order = tuple(pub.circuit.parameters)
        group = keys[id(pub.circuit)], order, _values(pub).tobytes(), pub.parameter_values.shape
        groups.setdefault(group, []).append(number)
    results: list[PubResult | None] = [None] * len(pubs)
    for members in groups.values():
        for number, result in zip(members, _run_group([pubs[n] for n in members]), strict=True):
            results[number] = result
    return PrimitiveResult(results, metadata={"version": 2})


def _values(pub: EstimatorPub) -> np.ndarray:
    """Parameter values of a PUB as (bindings, parameters), in the circuit's order of parameters."""
    if not pub.circuit.num_parameters:
        return np.zeros((max(pub.parameter_values.size, 1), 0))
    return pub.parameter_values.as_array(pub.circuit.parameters).reshape(-1, pub.circuit.num_parameters)


def _run_group(pubs: list[EstimatorPub]) -> list[PubResult]:
    """Simulate once for PUBs of the same circuit and bindings."""
    circuit, values = pubs[0].circuit, _values(pubs[0])
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
                operators.append(_operator(observable, circuit.num_qubits))
            column[index] = distinct[key]
        columns.append(column)
    if circuit.num_qubits:
        evs_NO = expectation_values(circuit, operators, values)
    else:  # the state is the number 1
        evs_NO = np.tile([operator.coeffs.sum().real for operator in operators], (len(values), 1))
    results = []
    for pub, column in zip(pubs, columns, strict=True):
        rows = np.arange(len(values)).reshape(pub.parameter_values.shape)
        row, column = np.broadcast_arrays(rows, column)
        evs = evs_NO[row, column]
        data = DataBin(evs=evs, stds=np.zeros_like(evs), shape=evs.shape)
        metadata = {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata}
        results.append(PubResult(data, metadata=metadata))
    return results


def _operator(observable: dict[str, float], num_qubits: int) -> SparsePauliOp:
    """Write a PUB's observable (Paulis and the projectors 0 1 + - r l) as a Pauli sum."""
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
    engine = engine_for(circuit, (), circuit.parameters, observables)
    values = torch.from_numpy(np.ascontiguousarray(values_NK, dtype=np.float64))
    size = engine.instances_within(_CHUNK_BYTES, gradient=False)
    # Every binding is an instance with weights of its own and a batch of one without inputs.
    with torch.no_grad():
        parts = [
            engine.expectations(torch.zeros(1, len(chunk), 0, dtype=torch.float64), chunk)[0]
            for chunk in values.split(size)
        ]
    return torch.cat(parts).numpy()
