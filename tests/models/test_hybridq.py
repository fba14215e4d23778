"""Shapes, ranges, where gradients go, and that weights come from the given generator alone."""

import itertools
import math
import random

import numpy as np
import pytest
import torch

from qgan_qiskit.config import DcganConfig, HybridQConfig, MosaiqConfig, QgpatchConfig
from qgan_qiskit.models import build
from qgan_qiskit.models.hybridq import _symmetric_root

SIZES = {"sub_generators": 2, "num_qubits": 3, "reps": 2, "decoder_width": 16, "discriminator_width": 8}
TINY_DCGAN = DcganConfig(latent_size=8, generator_width=8, discriminator_width=8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def real_images(count, resolution, seed=1):
    return torch.rand(count, 3, resolution, resolution, generator=seeded(seed)) * 2 - 1


def variants():
    for mode, decoder, classical_baseline, encoder in itertools.product(
        ("image", "latent", "fusion"), ("upsample", "modulated", "paper"), (False, True), ("identity", "linear")
    ):
        yield HybridQConfig(mode=mode, decoder=decoder, classical_baseline=classical_baseline, encoder=encoder, **SIZES)
    yield HybridQConfig(encoding="ry_rx", entangler="cz", readout="x", **SIZES)
    yield HybridQConfig(minibatch_std=True, discriminator_norm="spectral", **SIZES)
    yield TINY_DCGAN


@pytest.mark.parametrize("resolution", [16, 64])
def test_shapes_and_ranges_of_every_mode_decoder_and_size(resolution):
    real = real_images(5, resolution)
    for config in variants():
        generator, discriminator = build(config, resolution, seeded())
        z = generator.sample_latent(5, seeded(2))
        assert z.shape == (5, generator.latent_size)
        inputs = generator.discriminator_inputs(real, z)
        assert discriminator(inputs.real).shape == discriminator(inputs.fake).shape == (5,), config
        assert inputs.real.shape == inputs.fake.shape
        assert inputs.fake.dtype == torch.float32
        assert inputs.fake.abs().max() <= 1
        images = generator.eval()(z)
        assert images.shape == (5, 3, resolution, resolution)
        assert images.dtype == torch.float32
        assert images.abs().max() <= 1
        assert images.std(dim=0).max() > 0, "the noise has no effect"
        if inputs.reconstruction is not None:
            assert inputs.reconstruction.shape == ()


def test_gray_images_of_every_mode_and_decoder():
    resolution = 16
    real = real_images(5, resolution)[:, :1]
    for config in variants():
        generator, discriminator = build(config, resolution, seeded(), channels=1)
        inputs = generator.discriminator_inputs(real, generator.sample_latent(5, seeded(2)))
        assert discriminator(inputs.real).shape == discriminator(inputs.fake).shape == (5,), config
        images = generator.eval()(generator.sample_latent(5, seeded(2)))
        assert images.shape == (5, 1, resolution, resolution)


def test_most_models_take_nothing_from_the_images_beforehand():
    for config in variants():
        generator, _ = build(config, 16, seeded())
        before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
        generator.fit_to_data(np.zeros((3, 16, 16, 3), np.uint8))
        assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


def parts_with_gradient(generator, value):
    generator.zero_grad(set_to_none=True)
    (value * torch.randn(value.shape, generator=seeded(3))).sum().backward(retain_graph=True)
    return {name.split(".")[0] for name, p in generator.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("classical_baseline", [False, True])
@pytest.mark.parametrize("decoder", ["upsample", "modulated", "paper"])
@pytest.mark.parametrize(
    ("mode", "by_fake", "by_reconstruction"),
    [
        ("image", {"encoder", "circuits", "decoder"}, None),
        ("latent", {"encoder", "circuits"}, {"image_encoder", "decoder"}),
        (
            "fusion",
            {"encoder", "circuits", "decoder", "image_encoder"},
            {"encoder", "circuits", "decoder", "image_encoder"},
        ),
    ],
)
def test_each_modes_gradients_reach_the_parts_they_should_and_no_others(
    mode, by_fake, by_reconstruction, decoder, classical_baseline
):
    config = HybridQConfig(mode=mode, decoder=decoder, encoder="linear", classical_baseline=classical_baseline, **SIZES)
    generator, _ = build(config, 16, seeded())
    real = real_images(6, 16)
    inputs = generator.discriminator_inputs(real, generator.sample_latent(6, seeded(2)))
    assert not inputs.real.requires_grad
    assert parts_with_gradient(generator, inputs.fake) == by_fake
    if by_reconstruction is None:
        assert inputs.reconstruction is None
        assert inputs.real is real
    else:
        assert parts_with_gradient(generator, inputs.reconstruction) == by_reconstruction


def test_every_sub_generators_weights_get_a_gradient():
    generator, _ = build(HybridQConfig(**SIZES), 16, seeded())
    inputs = generator.discriminator_inputs(real_images(6, 16), generator.sample_latent(6, seeded(2)))
    parts_with_gradient(generator, inputs.fake)
    gradients = [weight.grad for weight in generator.quantum_parameters()]
    assert len(gradients) == 2
    assert all(gradient.shape == (6,) and gradient.abs().max() > 0 for gradient in gradients)


def test_same_seed_same_weights_and_the_global_random_numbers_stay_as_they_were():
    configs = [
        *variants(),
        DcganConfig(latent_size=8, generator_width=8, discriminator_width=8, discriminator_norm="spectral"),
        MosaiqConfig(sub_generators=2, num_qubits=3, reps=2),
        MosaiqConfig(sub_generators=2, num_qubits=3, reps=2, classical_baseline=True),
        QgpatchConfig(num_qubits=7, reps=2),
        QgpatchConfig(num_qubits=7, reps=2, classical_baseline=True),
    ]
    for config in configs:
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        first, again, other = (
            [*generator.state_dict().items(), *discriminator.state_dict().items()]
            for generator, discriminator in (build(config, 16, seeded(seed)) for seed in (5, 5, 6))
        )
        assert torch.equal(torch.get_rng_state(), states[0]), config
        assert np.array_equal(np.random.get_state()[1], states[1])
        assert random.getstate() == states[2]
        torch.rand(3)  # The next build must not depend on it.
        assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, again, strict=True))
        differing = [n for (n, a), (_, b) in zip(first, other, strict=True) if not torch.equal(a, b)]
        assert len(differing) > 3


def test_latents_are_uniform_below_the_bound_and_normal_in_fusions_second_half():
    for mode in ("image", "latent", "fusion"):
        config = HybridQConfig(mode=mode, **SIZES, latent_high=2.0)
        generator, _ = build(config, 16, seeded())
        for high in (2.0, 0.7):
            generator.set_latent_high(high)
            z = generator.sample_latent(4000, seeded(1))
            noise, normal = z.chunk(2, dim=1) if mode == "fusion" else (z, None)
            assert noise.shape == (4000, 6)
            assert 0 <= noise.min() < 0.01 * high
            assert 0.99 * high < noise.max() < high
            assert noise.mean().item() == pytest.approx(high / 2, rel=0.02)
            if normal is not None:
                assert normal.mean().item() == pytest.approx(0, abs=0.03)
                assert normal.std().item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("mode", ["image", "fusion"])
def test_adaptive_noise_starts_at_the_narrow_end_and_generates_from_the_range_it_reached(mode):
    generator, _ = build(HybridQConfig(mode=mode, latent_range="adaptive", **SIZES), 16, seeded())
    for high in (math.pi / 8, 1.9):
        noise = generator.sample_latent(4000, seeded(1))[:, :6]
        assert 0.99 * high < noise.max() < high
        generator.set_latent_high(1.9)


def test_fusion_follows_mean_and_covariance_of_the_encoders_latents():
    generator, _ = build(HybridQConfig(mode="fusion", **SIZES), 16, seeded())
    mean, covariance = np.zeros(6), np.eye(6)
    for step in range(4):
        real = real_images(7, 16, seed=step)
        latents = generator.image_encoder(real).detach().double().numpy()
        generator.discriminator_inputs(real, generator.sample_latent(7, seeded(step)))
        mean = 0.98 * mean + 0.02 * latents.mean(axis=0)
        covariance = 0.98 * covariance + 0.02 * np.cov(latents, rowvar=False)
        np.testing.assert_allclose(generator.latent_mean.numpy(), mean, atol=1e-6)
        np.testing.assert_allclose(generator.latent_covariance.numpy(), covariance, atol=1e-6)


def test_fusion_generates_from_the_fitted_gaussian():
    """With circuits and decoder out of the way, the angles' mean and covariance are those of latents plus noise."""
    generator, _ = build(HybridQConfig(mode="fusion", **SIZES), 16, seeded())
    factor = torch.randn(6, 6, generator=seeded(4)) * 0.3
    generator.latent_mean.copy_(torch.linspace(-0.5, 0.5, 6))
    generator.latent_covariance.copy_(factor @ factor.T)
    generator.circuits, generator.decoder = torch.nn.Identity(), torch.nn.Identity()
    angles = generator(generator.sample_latent(40_000, seeded(5))).double().numpy()
    expected_mean = math.pi / 2 * (1 + np.linspace(-0.5, 0.5, 6))
    noise_variance = (0.5 * math.pi) ** 2 / 12
    expected = (math.pi / 2) ** 2 * (factor @ factor.T).double().numpy() + noise_variance * np.eye(6)
    np.testing.assert_allclose(angles.mean(axis=0), expected_mean, atol=0.03)
    np.testing.assert_allclose(np.cov(angles, rowvar=False), expected, atol=0.06)


def test_root_of_singular_covariances():
    for rank in range(1, 7):
        factor = torch.randn(6, rank, generator=seeded(rank))
        root = _symmetric_root(factor @ factor.T)
        assert torch.allclose(root @ root.T, factor @ factor.T, atol=1e-4)
