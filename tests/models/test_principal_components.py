"""Principal components against NumPy's singular values, there and back, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.errors import DataError
from qgan_qiskit.models.mosaiq import PrincipalComponents


def pixels(count, size, rank, seed=0):
    """Images that differ in ``rank`` directions of falling strength, and a little noise."""
    rng = np.random.default_rng([seed, count, size])
    directions = np.linalg.qr(rng.normal(size=(size, rank)))[0].T
    strengths = 40 * np.sqrt(size) * 0.8 ** np.arange(rank)
    values = 128 + (rng.uniform(-1, 1, (count, rank)) * strengths) @ directions + rng.normal(size=(count, size))
    return np.clip(values, 0, 255).astype(np.uint8)


def unit(pixels_ND):
    return torch.from_numpy(pixels_ND.astype(np.float32) / 127.5 - 1)


def by_singular_values(pixels_ND, count):
    values = pixels_ND / 127.5 - 1
    mean = values.mean(axis=0)
    _, strengths, axes = np.linalg.svd(values - mean, full_matrices=False)
    return mean, axes[:count], strengths


@pytest.mark.parametrize(
    ("count", "number", "size"), [(6, 40, 30), (10, 200, 784), (6, 60, 3 * 20**2), (12, 90, 12288)]
)
def test_equals_the_singular_value_decomposition(count, number, size):
    """Both ways of fitting: small images by their covariance, large ones by the randomized search."""
    images = pixels(number, size, min(16, size))
    components = PrincipalComponents(count, size)
    components.fit(images)
    mean, axes, _ = by_singular_values(images, count)
    np.testing.assert_allclose(components.mean_D, mean, atol=1e-5)
    # Components have no sign.
    overlaps = components.axes_FD.double().numpy() @ axes.T
    np.testing.assert_allclose(np.abs(overlaps), np.eye(count), atol=2e-3)
    np.testing.assert_allclose(components.axes_FD @ components.axes_FD.T, np.eye(count), atol=1e-5)


@given(st.integers(1, 8), st.integers(0, 1000))
def test_scores_are_scaled_by_the_smallest_and_the_largest_of_all(count, seed):
    images = pixels(20, 48, 10, seed)
    components = PrincipalComponents(count, 48)
    components.fit(images)
    scores = components.scaled_scores(unit(images).view(20, 3, 4, 4))
    raw = (unit(images).double() - components.mean_D.double()) @ components.axes_FD.double().T
    expected = 2 * (raw - raw.min()) / (raw.max() - raw.min()) - 1
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.min() == pytest.approx(-1, abs=1e-5)
    assert scores.max() == pytest.approx(1, abs=1e-5)


def test_there_and_back():
    """All components give the images back; fewer give their projection, and projecting again changes nothing."""
    images = pixels(60, 27, 27)
    real = unit(images).view(60, 3, 3, 3)
    whole = PrincipalComponents(27, 27)
    whole.fit(images)
    torch.testing.assert_close(whole.flat_images(whole.scaled_scores(real)), unit(images), atol=1e-5, rtol=0)
    part = PrincipalComponents(5, 27)
    part.fit(images)
    scores = part.scaled_scores(real)
    again = part.scaled_scores(part.flat_images(scores).view(60, 3, 3, 3))
    torch.testing.assert_close(again, scores, atol=1e-5, rtol=0)
    mean, axes, _ = by_singular_values(images, 5)
    centered = images / 127.5 - 1 - mean
    np.testing.assert_allclose(part.flat_images(scores), mean + centered @ axes.T @ axes, atol=1e-5)


def test_the_same_images_give_the_same_numbers_and_stay_as_they_are():
    for size in (30, 1200):
        images = pixels(40, size, 12)
        images.flags.writeable = False
        before = images.copy()
        first, again = PrincipalComponents(6, size), PrincipalComponents(6, size)
        first.fit(images)
        np.random.default_rng().random()
        again.fit(images)
        assert all(torch.equal(a, b) for a, b in zip(first.buffers(), again.buffers(), strict=True))
        np.testing.assert_array_equal(images, before)


def test_too_few_images_and_equal_images_are_refused():
    with pytest.raises(DataError, match="12 principal components"):
        PrincipalComponents(12, 30).fit(pixels(12, 30, 12))
    with pytest.raises(DataError, match="images are equal"):
        PrincipalComponents(2, 30).fit(np.full((20, 30), 77, np.uint8))


def test_use_before_the_fit_is_a_mistake():
    components = PrincipalComponents(2, 12)
    for call in (
        lambda: components.scaled_scores(torch.zeros(1, 3, 2, 2)),
        lambda: components.flat_images(torch.zeros(1, 2)),
    ):
        with pytest.raises(RuntimeError, match="not fitted"):
            call()


def test_bfloat16_around_it_changes_nothing():
    images = pixels(40, 48, 12)
    components = PrincipalComponents(6, 48)
    components.fit(images)
    real = unit(images).view(40, 3, 4, 4)
    expected = components.scaled_scores(real)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(components.scaled_scores(real), expected)
        assert components.flat_images(expected).dtype == torch.float32
