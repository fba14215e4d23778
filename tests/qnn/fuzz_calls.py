"""Random calls of SubGenerators: every one gives the values and slopes of Statevector, or a refusal in words of ours.

``python fuzz_calls.py SEED CALLS`` prints how many were refused, and in the end the number of calls made.
"""

import os
import sys

import numpy as np
import torch
from qiskit.primitives import StatevectorEstimator

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import QganError
from qgan_qiskit.qnn import SubGenerators

REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
OTHER = (torch.int8, torch.int32, torch.int64, torch.uint8, torch.bool, torch.complex64, torch.complex128)


def values(rng, shape):
    found = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 3)
    if found.size and rng.random() < 0.08:
        found.flat[rng.integers(found.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
    return torch.tensor(found)


def odd(rng, tensor):
    """The same values in other memory."""
    match rng.integers(6):
        case 0:
            return tensor.transpose(0, -1).contiguous().transpose(0, -1)
        case 1:
            return torch.stack([tensor, tensor], dim=-1)[..., 1]
        case 2:
            return torch.cat([tensor, tensor])[len(tensor) :]
        case 3 if len(tensor):
            return tensor[:1].expand(tensor.shape)
    return tensor


def oracle(module, angles):
    """Expectations by Qiskit's own simulator, in double precision."""
    ansatz = module.ansatz
    parameters = [*ansatz.input_parameters, *ansatz.weight_parameters]
    order = [parameters.index(parameter) for parameter in ansatz.circuit.parameters]
    weights = module.weights_PK().detach().double()
    parts = []
    for number, row in enumerate(weights):
        both = torch.cat([angles[:, number].double(), row.expand(len(angles), -1)], dim=1).numpy()[:, order]
        observables = [[observable] for observable in ansatz.observables]
        [result] = StatevectorEstimator().run([(ansatz.circuit, observables, both)], precision=0.0).result()
        parts.append(torch.from_numpy(result.data.evs.T))
    return torch.stack(parts, dim=1)


def call(rng, modules_of):
    # A module keeps its first engine, so each engine has modules of its own.
    engine = str(rng.choice(list(modules_of)))
    os.environ["QGAN_QISKIT_ENGINE"] = engine
    module = modules_of[engine][rng.integers(len(modules_of[engine]))]
    count, qubits = len(module.connectors), module.ansatz.num_inputs
    shape = [int(rng.integers(0, 6)), count, qubits]
    wrong = rng.random() < 0.15
    if wrong:
        shape[int(rng.integers(1, 3))] += int(rng.choice([-1, 1]))
    dtype = (*REAL, *REAL, *REAL, *OTHER)[rng.integers(3 * len(REAL) + len(OTHER))]
    angles = values(rng, shape).to(dtype)
    angles = odd(rng, angles) if not wrong else angles
    if rng.random() < 0.05:
        angles = angles.to("meta")
    differentiates = dtype in REAL and rng.random() < 0.5
    mode = torch.inference_mode if not differentiates and rng.random() < 0.3 else torch.enable_grad
    torch.set_num_threads(int(rng.integers(1, 3)))
    with mode():
        if differentiates:
            angles = angles.detach().requires_grad_()
        try:
            found = module(angles)
            if differentiates and found.numel():
                found.sum().backward()
        except QganError as error:
            assert len(str(error).splitlines()) == 1, error
            return True
    assert not wrong, f"shape {shape} was taken"
    assert dtype in REAL, f"{dtype} was taken"
    assert found.dtype == dtype
    assert angles.device.type == "cpu", "there are no values on meta"
    plain = angles.detach().double().contiguous()
    good = torch.isfinite(plain).all(dim=2) & (plain.abs() < 1e4).all(dim=2)
    if len(plain):
        clean = torch.where(good[..., None], plain, 0.0)
        # Angles up to 1e4 lose digits in single precision, in which connectors hand everything on.
        exact = dtype == torch.float64 and module.execution == "fused"
        tolerance = max(torch.finfo(dtype).eps, 1e-9 if exact else 2e-3)
        difference = (found.detach().double() - oracle(module, clean))[good].abs()
        assert not len(difference) or difference.max() <= tolerance, f"{dtype} {shape}: {difference.max()}"
        lost = ~torch.isfinite(plain).all(dim=2)
        assert not torch.isfinite(found.detach()[lost]).all(dim=-1).any(), "finite values of no angle"
        if exact and differentiates and good.all() and plain.abs().max() < 100:
            way, step = torch.randn(plain.shape, dtype=torch.float64), 1e-5
            slope = (oracle(module, clean + step * way).sum() - oracle(module, clean - step * way).sum()) / (2 * step)
            assert abs((angles.grad * way).sum() - slope) < 1e-6 * max(1.0, plain.numel()), f"{dtype} {shape}: gradient"
    return False


def main(seed, calls):
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    modules_of = {
        engine: [
            SubGenerators(hybridq_ansatz(qubits, 2, encoding=encoding), count, generator=generator, execution=execution)
            for qubits, count, encoding in ((2, 1, "ry"), (3, 2, "ry"), (3, 2, "ry_rx"))
            for execution in ("fused", "connectors")
        ]
        for engine in ("llvm", "torch")
    }
    refused = sum(call(rng, modules_of) for _ in range(calls))
    assert 0 < refused < calls
    print(f"{refused} calls were refused of {calls}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
