"""Tiny generators of every kind, and one in double precision to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from qgan_qiskit.config import (
    DcganConfig,
    HybridQConfig,
    MediqConfig,
    MosaiqConfig,
    QgpatchConfig,
    Settings,
    TransferConfig,
)
from qgan_qiskit.models import Generator, build

SIZES = {"sub_generators": 2, "num_qubits": 3, "reps": 2, "decoder_width": 16, "discriminator_width": 8}
MEDIQ = {"latent_size": 6, "sub_generators": 3, "num_qubits": 3, "reps": 2, "prototype_width": 10, "critic_width": 8}
COMPONENTS = {"sub_generators": 3, "num_qubits": 4, "reps": 2}

CONFIGS: dict[str, Settings] = {
    "hybridq": HybridQConfig(**SIZES),
    "hybridq-baseline": HybridQConfig(classical_baseline=True, **SIZES),
    "hybridq-linear-modulated": HybridQConfig(encoder="linear", decoder="modulated", **SIZES),
    "hybridq-paper": HybridQConfig(decoder="paper", encoding="ry_rx", entangler="cz", readout="x", **SIZES),
    "hybridq-latent": HybridQConfig(mode="latent", **SIZES),
    "hybridq-fusion": HybridQConfig(mode="fusion", encoder="linear", **SIZES),
    "mosaiq-shared": MosaiqConfig(**COMPONENTS),
    "mosaiq-own": MosaiqConfig(shared_latent=False, **COMPONENTS),
    "mosaiq-baseline": MosaiqConfig(classical_baseline=True, **COMPONENTS),
    "qgpatch": QgpatchConfig(sub_generators=4, num_qubits=5, reps=2),
    "qgpatch-unnormalised": QgpatchConfig(sub_generators=4, num_qubits=5, reps=2, patch_readout="unnormalised"),
    "qgpatch-baseline": QgpatchConfig(sub_generators=4, num_qubits=5, reps=3, classical_baseline=True),
    "mediq": MediqConfig(**MEDIQ),
    "mediq-full-vanilla": MediqConfig(quantum_stream="full", decoder="vanilla", encoder="fc", **MEDIQ),
    "mediq-baseline": MediqConfig(classical_baseline=True, quantum_stream="full", **{**MEDIQ, "reps": 3}),
    "transfer": TransferConfig(num_qubits=4, reps=2, decoder_width=16, backbone="resnet18"),
    "dcgan": DcganConfig(latent_size=8, generator_width=8, discriminator_width=8),
}


def tiny_generator(name: str) -> Generator:
    """Return a generator ready to generate, with batch norms and components that have seen images."""
    config = CONFIGS[name]
    side, channels = (8, 1) if isinstance(config, QgpatchConfig) else (16, 3)
    generator, _ = build(config, side, torch.Generator().manual_seed(0), channels=channels, classes=("a", "b", "c"))
    generator.fit_to_data(np.random.default_rng(0).integers(0, 256, (40, side, side, 3), dtype=np.uint8))
    random = torch.Generator().manual_seed(1)
    generator.train()
    with torch.no_grad():
        for _ in range(4):
            generator(generator.sample_latent(16, random))
    return generator.eval()


class LinearGenerator(Generator):
    """Images that are a matrix times the latent."""

    def __init__(self, matrix_DZ: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(matrix_DZ)
        self.latent_size = matrix_DZ.shape[1]

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, self.latent_size, generator=generator)

    def forward(self, z_BZ: Tensor) -> Tensor:
        return (z_BZ @ self.weight.T).view(len(z_BZ), 1, -1, 2)


class _KeepDouble(TorchFunctionMode):
    """Makes ``.float()`` leave double precision alone: models cast in places."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            return args[0].double()
        return func(*args, **(kwargs or {}))


@contextmanager
def in_double(generator: Generator) -> Iterator[None]:
    """Let a generator compute in double precision throughout."""
    generator.double()
    try:
        with _KeepDouble():
            yield
    finally:
        generator.float()
