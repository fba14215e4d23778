"""The same sub-generators on other estimators: exact, with sampling noise, and on a simulated noisy device.

``SubGenerators`` takes any estimator that speaks Qiskit's ``BaseEstimatorV2``. Model code does not change: only the object
that is handed in does. This program

1. evaluates sub-generators on the default ``ExactEstimator``;
2. evaluates the same weights with Qiskit's ``StatevectorEstimator`` at a few precisions, where a precision is the standard
   error of every expectation (sampling it would take about 1 / precision**2 shots). The noise comes from a NumPy
   generator that lives on between calls: a plain integer as seed would repeat the same noise in every call;
3. does so on qiskit-aer's estimator with depolarizing noise on each CX, if qiskit-aer is installed;
4. differentiates on a sampled estimator, where the gradient is Qiskit's parameter-shift rule;
5. builds a whole HybridQ generator on an estimator of your own.

Run it with ``python examples/noisy_estimator.py``. Away from the exact estimator the connectors are called one by one, so
keep the sizes small.

Shape letters: B batch · P sub-generators · Q inputs of one circuit · O observables · K weights of one circuit.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from torch import Tensor

from qgan_qiskit.circuits import CircuitSpec, hybridq_ansatz
from qgan_qiskit.config import HybridQConfig
from qgan_qiskit.models import build
from qgan_qiskit.qnn import SubGenerators


def sub_generators(
    ansatz: CircuitSpec, count: int, estimator: BaseEstimatorV2 | None, precision: float
) -> SubGenerators:
    """Return P sub-generators; the same seed gives the same weights, whatever evaluates them."""
    generator = torch.Generator().manual_seed(7)
    return SubGenerators(ansatz, count, estimator, precision=precision, generator=generator)


def noisy_device(error: float) -> BaseEstimatorV2 | None:
    """Return qiskit-aer's estimator with a depolarizing error on every CX, or None without qiskit-aer."""
    try:
        from qiskit_aer.noise import NoiseModel, depolarizing_error
        from qiskit_aer.primitives import EstimatorV2
    except ImportError:
        return None
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(error, 2), ["cx"])
    return EstimatorV2(options={"backend_options": {"noise_model": noise, "method": "density_matrix"}})


def root_mean_square(values: Tensor) -> float:
    """Return the root of the mean square of all entries."""
    return float(values.detach().square().mean().sqrt())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the five steps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--num-qubits", type=int, default=3, help="qubits of the circuit (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=2, help="layers of the ansatz (default: %(default)s)")
    parser.add_argument("--count", type=int, default=2, help="sub-generators (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="images in a batch (default: %(default)s)")
    parser.add_argument("--error", type=float, default=0.05, help="depolarizing error of a CX (default: %(default)s)")
    arguments = parser.parse_args(argv)
    ansatz = hybridq_ansatz(arguments.num_qubits, arguments.reps)
    shape = (arguments.batch, arguments.count, ansatz.num_inputs)
    angles_BPQ = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * math.pi

    exact = sub_generators(ansatz, arguments.count, None, 0.0)
    exact_BPO = exact(angles_BPQ)
    together = "all at once" if exact.fused else "one by one"
    print(f"1. {arguments.count} x {ansatz.name} on {type(exact.estimator).__name__}: evaluated {together}")

    rng = np.random.default_rng(3)
    for precision in (0.1, 0.01, 0.001):
        sampled = sub_generators(ansatz, arguments.count, StatevectorEstimator(seed=rng), precision)
        error = root_mean_square(sampled(angles_BPQ) - exact_BPO)
        print(f"2. StatevectorEstimator, precision {precision}: root mean square error {error:.5f}")

    device = noisy_device(arguments.error)
    if device is None:
        print("3. qiskit-aer is not installed: left out")
    else:
        noisy_BPO = sub_generators(ansatz, arguments.count, device, 0.0)(angles_BPQ)
        error = root_mean_square(noisy_BPO - exact_BPO)
        # Noise draws every expectation toward that of a random state, which is 0 for Paulis.
        shrunk = root_mean_square(noisy_BPO) / root_mean_square(exact_BPO)
        print(f"3. device noise: root mean square error {error:.5f}, expectations {shrunk:.2f} times as large")

    sampled = sub_generators(ansatz, arguments.count, StatevectorEstimator(seed=rng, default_precision=0.01), 0.01)
    few_BPQ = angles_BPQ[:2]
    exact.zero_grad()
    exact(few_BPQ).square().sum().backward()
    sampled(few_BPQ).square().sum().backward()
    exact_PK, sampled_PK = (torch.stack([c.weight.grad for c in module.connectors]) for module in (exact, sampled))
    cosine = torch.nn.functional.cosine_similarity(exact_PK.flatten(), sampled_PK.flatten(), dim=0)
    print(f"4. exact and sampled gradient of the weights: cosine of their angle {cosine:.4f}")

    config = HybridQConfig(
        num_qubits=arguments.num_qubits, reps=arguments.reps, sub_generators=arguments.count, decoder_width=16
    )
    estimator = StatevectorEstimator(seed=rng)
    generator, _ = build(config, 16, torch.Generator().manual_seed(7), estimator)
    z_BZ = generator.sample_latent(2, torch.Generator().manual_seed(1))
    with torch.no_grad():
        print(f"5. HybridQ on {type(estimator).__name__}: images of shape {tuple(generator.eval()(z_BZ).shape)}")


if __name__ == "__main__":
    main()
