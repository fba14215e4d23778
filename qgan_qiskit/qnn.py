"""Quantum circuits as torch modules: Qiskit's ``EstimatorQNN`` in a ``TorchConnector``, and many of them evaluated at once.

:class:`SubGenerators` holds P circuits that differ in their weights. :class:`ExactQNN` is an ``EstimatorQNN`` on the exact
simulator that evaluates and differentiates a whole batch in one call. Both are differentiated once; a second derivative is a
``UsageError``.

Shape letters: B batch · P sub-generators · Q inputs of one circuit · O observables · K weights of one circuit · N = B * O.
"""

from __future__ import annotations

import functools
import math
import numbers
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, cast, get_args

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import BaseEstimatorGradient, ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from torch import Tensor, nn

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.errors import UsageError
from qgan_qiskit.simulation import AdjointEstimatorGradient, ExactEstimator
from qgan_qiskit.simulation.engine import DifferentiatedOnce, Engine, check_angles, refuse_recorded_backward
from qgan_qiskit.simulation.engine_cache import engine_for, engine_for_spec
from qgan_qiskit.simulation.estimator import to_pauli_sum

_P = ParamSpec("_P")
_R = TypeVar("_R")
# How sub-generators on the exact estimator are evaluated: all in one call, or each through its connector.
Execution = Literal["fused", "connectors"]
# Maps a circuit, inputs (B, P, Q) and weights (P, K), both in radians, to expectations (B, P, O).
# Pairs of image and observable are differentiated together as long as they stay within this many bytes.
_CHUNK_BYTES = 256 << 20


def _exclude_from_compile(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return the function with a graph break in front of it, for ``torch.compile``.

    ``torch.compiler.disable`` imports the compiler, which takes seconds; so it is called once somebody else has done that.
    """
    disabled: list[Callable[_P, _R]] = []

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not disabled:
            disabled.append(torch.compiler.disable(function))
        return disabled[0](*args, **kwargs)

    call._torchdynamo_disable = True  # type: ignore[attr-defined]
    return call


class SubGenerators(nn.Module):
    """P sub-generators that share a circuit and differ in their weights.

    ``connectors`` holds the P ``TorchConnector`` objects; their weights are this module's parameters. On an
    :class:`~qgan_qiskit.simulation.ExactEstimator` all of them and the whole batch are evaluated, and differentiated by one
    vector-Jacobian product, in one call of the engine; on any other estimator, and with ``execution="connectors"``, the
    connectors are called one by one.

    Circuits are differentiated once: a second derivative, and forward mode, raise ``UsageError``. ``torch.compile`` breaks its
    graph here. A module can be copied, pickled and saved whole.

    Attributes:
        execution: ``fused``, or ``connectors`` to call them on the exact estimator as well.
    """

    ansatz: CircuitSpec
    connectors: nn.ModuleList
    estimator: BaseEstimatorV2
    execution: Execution

    def __init__(
        self,
        ansatz: CircuitSpec,
        count: int,
        estimator: BaseEstimatorV2 | None = None,
        *,
        gradient: Callable[[BaseEstimatorV2], BaseEstimatorGradient] | None = None,
        precision: float = 0.015625,
        generator: torch.Generator | None = None,
        execution: Execution = "fused",
    ) -> None:
        """Build the connectors.

        Args:
            ansatz: the circuit, its parameters and its observables.
            count: number of sub-generators P, at least 1.
            estimator: what evaluates the circuits; None for an exact one.
            gradient: makes the gradient of one connector from the estimator, such as the class ``ParamShiftEstimatorGradient``;
                None for adjoint gradients on an exact estimator, else parameter shift. (Not one gradient for all: Qiskit's
                cache their circuits by a key that does not tell two connectors apart.)
            precision: target precision handed to an estimator that samples (1/64 is 4,096 shots).
            generator: source of the initial weights, uniform in [-pi, pi) radians; None for torch's own.
            execution: ``fused``, or ``connectors`` to evaluate and differentiate each sub-generator through its own connector.

        Raises:
            UsageError: count is no integer or below 1, or execution is something else.
        """
        super().__init__()
        if execution not in get_args(Execution):
            raise UsageError(f"execution is {execution!r}: use 'fused' or 'connectors'")
        if isinstance(count, bool) or not isinstance(count, numbers.Integral):
            raise UsageError(f"count of sub-generators is {count!r}: an integer is needed")
        if count < 1:
            raise UsageError(f"count of sub-generators is {count}: at least 1 is needed")
        self.ansatz = ansatz
        self.execution = execution
        self._engines: dict[tuple[torch.dtype, torch.device], Engine] = {}
        self.estimator = estimator if estimator is not None else ExactEstimator()
        make_gradient = gradient or (AdjointEstimatorGradient if self._exact else _parameter_shift)
        self.connectors = nn.ModuleList(self._connector(make_gradient, precision, generator) for _ in range(count))

    @property
    def _exact(self) -> bool:
        return isinstance(self.estimator, ExactEstimator)

    def _connector(
        self,
        make_gradient: Callable[[BaseEstimatorV2], BaseEstimatorGradient],
        precision: float,
        generator: torch.Generator | None,
    ) -> TorchConnector:
        gradient = make_gradient(self.estimator)
        parts: dict[str, Any] = {
            "circuit": self.ansatz.circuit,
            "observables": list(self.ansatz.observables),
            "input_params": list(self.ansatz.input_parameters),
            "weight_params": list(self.ansatz.weight_parameters),
            "input_gradients": True,
        }
        if isinstance(self.estimator, ExactEstimator) and isinstance(gradient, AdjointEstimatorGradient):
            qnn: EstimatorQNN = ExactQNN(estimator=self.estimator, **parts)
        else:
            qnn = EstimatorQNN(estimator=self.estimator, gradient=gradient, default_precision=precision, **parts)
        weights_K = (torch.rand(self.ansatz.num_weights, generator=generator) * 2 - 1) * math.pi
        return TorchConnector(qnn, initial_weights=weights_K.numpy())

    def _gradients(self) -> list[BaseEstimatorGradient]:
        networks = [cast(TorchConnector, connector).neural_network for connector in self.connectors]
        return [cast(EstimatorQNN, network).gradient for network in networks]

    @property
    def fused(self) -> bool:
        """Whether the connectors are evaluated together instead of one by one."""
        return (
            self.execution == "fused"
            and self._exact
            and all(isinstance(gradient, AdjointEstimatorGradient) for gradient in self._gradients())
        )

    def weights_PK(self) -> Tensor:
        """Return the weights of all sub-generators in radians, shape (P, K); gradients flow back to the connectors."""
        return torch.stack([cast(TorchConnector, connector).weight for connector in self.connectors])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the engines, which hold addresses of this process."""
        return self.__dict__ | {"_engines": {}}

    @_exclude_from_compile
    def forward(self, angles_BPQ: Tensor) -> Tensor:
        """Evaluate every circuit for every image.

        Args:
            angles_BPQ: input angles in radians, shape (B, P, Q), of a real type, on the device of the weights. float16 and
                bfloat16 are computed in float32.

        Returns:
            Expectations in [-1, 1] for observables of eigenvalues ±1, shape (B, P, O), in the dtype of the angles (the
            connectors one by one compute in float32 at best); under ``torch.autocast`` never narrower than float32.

        Raises:
            UsageError: the angles are of another shape, kind or device.
        """
        weights = [cast(TorchConnector, connector).weight for connector in self.connectors]
        check_angles(angles_BPQ, "angles")
        expected = (len(weights), self.ansatz.num_inputs)
        if angles_BPQ.dim() != 3 or angles_BPQ.shape[1:] != expected:
            raise UsageError(
                f"angles have shape {tuple(angles_BPQ.shape)}, expected (batch, {expected[0]}, {expected[1]})"
            )
        dtype, device = angles_BPQ.dtype, angles_BPQ.device
        for weight in weights:
            # The engine checks what it is given; here what casts and moves would hide from it.
            if weight.dtype is not torch.float32:
                check_angles(weight, "weights")
            if weight.device != device:
                raise UsageError(f"angles are on {device} and weights on {weight.device}: move one of them with .to()")
        if dtype in (torch.float16, torch.bfloat16):
            angles_BPQ = angles_BPQ.float()
        if not torch.is_autocast_enabled(device.type):
            return self._evaluate(angles_BPQ, weights).to(dtype)
        with torch.autocast(device.type, enabled=False):
            return self._evaluate(angles_BPQ, weights)

    def _evaluate(self, angles_BPQ: Tensor, weights: list[Tensor]) -> Tensor:
        """Return expectations for checked angles in single or double precision."""
        dtype = angles_BPQ.dtype
        if self.fused:
            # The engine is looked up once: describing the circuit at every step would only find the same one.
            key = (dtype, angles_BPQ.device)
            if key not in self._engines:
                self._engines[key] = engine_for_spec(self.ansatz, *key)
            return self._engines[key].expectations(
                angles_BPQ, [w if w.dtype is dtype else w.to(dtype) for w in weights]
            )
        if not len(angles_BPQ):
            return angles_BPQ.new_zeros(0, len(self.connectors), self.ansatz.num_observables)
        # A connector goes through NumPy, which has no views of negated numbers.
        plain_BPQ = angles_BPQ.resolve_neg()
        outputs = [connector(plain_BPQ[:, p]) for p, connector in enumerate(self.connectors)]
        return DifferentiatedOnce.apply(torch.stack(outputs, dim=1)).to(dtype)

    def extra_repr(self) -> str:
        """Describe the module in one line of ``print(model)``."""
        return f"{self.ansatz.name}, count={len(self.connectors)}, estimator={type(self.estimator).__name__}"


def set_execution(execution: Execution, *networks: nn.Module) -> None:
    """Set how every :class:`SubGenerators` inside some networks is evaluated.

    Args:
        execution: ``fused`` or ``connectors``.
        networks: with any number of them.

    Raises:
        UsageError: connectors are asked for, and there are no circuits.
    """
    found = [module for network in networks for module in network.modules() if isinstance(module, SubGenerators)]
    if execution == "connectors" and not found:
        raise UsageError(
            "--execution connectors: this model has no circuits; leave it out, or choose a quantum model without "
            "--classical-baseline"
        )
    for module in found:
        module.execution = execution


def _parameter_shift(estimator: BaseEstimatorV2) -> ParamShiftEstimatorGradient:
    with warnings.catch_warnings():
        # Qiskit Machine Learning warns that no pass manager was given; circuits for hardware are transpiled before this.
        warnings.simplefilter("ignore")
        return ParamShiftEstimatorGradient(estimator)


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
            UsageError: the circuit is no circuit, the estimator is not exact, or parameters and circuit do not fit.
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
        """Leave out the engine, which holds addresses of this process."""
        return self.__dict__ | {"_engine": None}

    def _exact_engine(self) -> Engine:
        """Return the engine of this circuit, which is looked up once."""
        if self._engine is None:
            self._engine = engine_for(
                self._org_circuit, self._input_params, self._weight_params, [to_pauli_sum(o) for o in self._observables]
            )
        return self._engine

    def _angles(self, input_data: np.ndarray | None, weights: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs (B, Q) and weights (K,); None stands for no parameters."""
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
