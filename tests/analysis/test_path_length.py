"""Path lengths: linear maps, the Jacobian's answer for others, and other distances than pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from geometry_models import LinearGenerator, in_double, tiny_generator

from qgan_qiskit.analysis.jacobian import jacobians
from qgan_qiskit.analysis.path_length import path_lengths, pixel_distance
from qgan_qiskit.study.latent_geometry import inception_distance

PIXELS = {"pixels": pixel_distance}


def pairs(count, size, dtype=torch.float64):
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randn(count, size, generator=random, dtype=dtype) for _ in range(2))
    return first, second, torch.rand(count, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("step", [1e-4, 1e-2])
def test_of_a_linear_map_it_is_the_squared_length_of_the_whole_way(step):
    """|A (z2 - z1)|^2 over the numbers of an image, wherever on the way, whatever the step."""
    matrix = torch.randn(12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    first, second, places = pairs(40, 5)
    found = path_lengths(LinearGenerator(matrix), first, second, places, step, PIXELS)["pixels"]
    np.testing.assert_allclose(found, ((second - first) @ matrix.T).square().mean(dim=1), rtol=1e-6)


def test_of_an_orthogonal_map_it_says_nothing_but_the_latents_distance():
    orthogonal, _ = torch.linalg.qr(
        torch.randn(12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    )
    first, second, places = pairs(40, 12)
    found = path_lengths(LinearGenerator(orthogonal), first, second, places, 1e-4, PIXELS)["pixels"]
    np.testing.assert_allclose(found, (second - first).square().sum(dim=1).numpy() / 12, rtol=1e-6)


@pytest.mark.parametrize("name", ["hybridq", "hybridq-fusion", "dcgan"])
def test_for_small_steps_it_is_what_the_jacobian_says(name):
    generator = tiny_generator(name)
    latents = generator.sample_latent(12, torch.Generator().manual_seed(5))
    first, second = latents[:6], latents[6:]
    places = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    found = path_lengths(generator, first, second, places, 1e-4, PIXELS)["pixels"]
    with in_double(generator):
        exact = path_lengths(generator, first.double(), second.double(), places, 1e-5, PIXELS)["pixels"]
    expected = []
    for start, end, place in zip(first, second, places, strict=True):
        jacobian = jacobians(generator, torch.lerp(start, end, float(place))).image_DS
        expected.append(float((jacobian @ (end - start).double()).square().mean()))
    np.testing.assert_allclose(exact, expected, rtol=2e-3)
    # In single precision, as the study computes them.
    np.testing.assert_allclose(found, expected, rtol=2e-2)


def test_a_distance_of_features_takes_gray_and_color():
    class Network:
        """Twice the mean of each channel, as the only tap."""

        def __call__(self, images, outputs):
            assert images.shape[1] == 3
            return dict.fromkeys(outputs, 2 * images.mean(dim=(2, 3)))

    distance = inception_distance(Network(), 64)
    first, second = torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)
    assert distance(first, second).tolist() == [4] * 4
    assert distance(first[:, :1], second[:, :1]).tolist() == [4] * 4


def test_in_blocks_as_one_by_one():
    generator = tiny_generator("dcgan")
    first, second, places = pairs(19, generator.latent_size, torch.float32)
    together = path_lengths(generator, first, second, places, 1e-2, PIXELS)["pixels"]
    alone = [
        path_lengths(generator, first[[i]], second[[i]], places[[i]], 1e-2, PIXELS)["pixels"][0] for i in range(19)
    ]
    assert together.shape == (19,)
    np.testing.assert_allclose(together, alone, rtol=1e-3)
