"""SSIM and MS-SSIM against their definitions and torchmetrics."""

import sys

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from qgan_qiskit.errors import UsageError
from qgan_qiskit.metrics.ssim import count_scales, ms_ssim, ssim


def images(number, side=16, seed=0):
    """Images of large and small shapes."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (number, 4, 4, 3)).repeat(-(-side // 4), axis=1).repeat(-(-side // 4), axis=2)
    fine = rng.integers(-20, 21, (number, side, side, 3))
    return np.clip(coarse[:, :side, :side] + fine, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [8, 28, 64])
def test_ssim_of_each_pair_equals_torchmetrics(side):
    first, second = images(19, side), images(19, side, seed=5)
    second[0] = first[0]
    found = ssim(first, second)
    assert found.shape == (19,)
    assert found[0] == pytest.approx(1)
    for row in (1, 17, 18):
        a, b = (torch.tensor(i[[row]] / 255.0).permute(0, 3, 1, 2) for i in (first, second))
        assert found[row] == pytest.approx(float(structural_similarity_index_measure(a, b, data_range=1.0)), abs=1e-5)
    assert len(ssim(first[:0], second[:0])) == 0
    assert ssim(first[:1], second[:1]).shape == (1,)


def test_ssim_of_constant_images_is_its_luminance_term():
    # Wang et al. 2004, equation 6 with K1 = 0.01.
    a, b, c = 100 / 255, 200 / 255, 0.01**2
    constant = [np.full((2, 16, 16, 3), level, np.uint8) for level in (100, 200)]
    assert ssim(*constant) == pytest.approx(np.full(2, (2 * a * b + c) / (a * a + b * b + c)), abs=1e-5)
    assert np.isfinite(ms_ssim(*constant)).all()


def test_as_many_scales_are_used_as_fit():
    """torchmetrics gives a number at that many scales, and refuses or gives none at one more."""
    betas = (0.2,) * 5

    def value(side, count):
        torch_images = torch.rand(2, 1, 1, side, side, generator=torch.Generator().manual_seed(side))
        return float(multiscale_structural_similarity_index_measure(*torch_images, betas=betas[:count], data_range=1.0))

    for side in [*range(8, 70), 98, 99, 100, 175, 176, 177, 256, 300]:
        count = count_scales(side)
        if count:
            assert np.isfinite(value(side, count)), side
        if count < 5:
            with pytest.raises((ValueError, RuntimeError)):
                value(side, count + 1)
    scales = {8: 0, 10: 0, 11: 1, 16: 2, 28: 2, 64: 3, 128: 4, 256: 5}
    assert {side: count_scales(side) for side in scales} == scales


def test_ms_ssim_at_full_size_equals_torchmetrics():
    first, second = images(2, 180), images(2, 180, seed=6)
    a, b = (torch.from_numpy(i / np.float32(255)).permute(0, 3, 1, 2) for i in (first, second))
    expected = multiscale_structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    np.testing.assert_allclose(ms_ssim(first, second), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("side", [11, 16, 28, 64])
def test_ms_ssim_of_small_images(side):
    first = images(3, side)
    assert ms_ssim(first, first) == pytest.approx(np.ones(3), abs=1e-5)
    assert (ms_ssim(first, images(3, side, seed=7)) < 0.7).all()
    with pytest.raises(ValueError, match="11 pixels"):
        ms_ssim(first[:, :8, :8], first[:, :8, :8])


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_a_missing_library_names_the_extra(metric, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    with pytest.raises(UsageError, match=r"torchmetrics.*qgan_qiskit\[metrics\]"):
        metric(images(2), images(2))
