"""Memorization: planted near-duplicates are found in every orientation; statistics on new images and on copies."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from qgan_qiskit.metrics import memorization
from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.memorization import (
    ORIENTATIONS,
    NearestTrainingSearch,
    bootstrap_memorization_rates,
    find_best_orientations,
    find_nearest_by_pixels,
    memorization_p_value,
    memorization_rate,
    reorient,
)
from qgan_qiskit.stats import Bootstrap


class PixelExtractor:
    """Replaces the network: features are the levels of a few pixels, which change when an image is rotated."""

    def __init__(self):
        self.images = 0

    def extract(self, images, cached=False):
        self.images += len(images)
        return FeatureSet.from_outputs(images, images[:, ::2, ::3].reshape(len(images), -1).astype(float))


def images(number, seed=0, side=12):
    return np.random.default_rng(seed).integers(0, 256, (number, side, side, 3)).astype(np.uint8)


def make_search(training, held_out=None):
    extractor = PixelExtractor()
    return NearestTrainingSearch(extractor, training, held_out), extractor


def test_the_eight_orientations_are_distinct_and_keep_the_pixels():
    image = images(1)
    found = [reorient(image, orientation) for orientation in range(ORIENTATIONS)]
    assert np.array_equal(found[0], image)
    assert np.array_equal(found[1], image[:, :, ::-1])
    assert len({each.tobytes() for each in found}) == 8
    assert all(np.array_equal(np.sort(each, axis=None), np.sort(image, axis=None)) for each in found)


def test_nearest_by_pixels_is_the_smallest_sum_of_squares(monkeypatch):
    monkeypatch.setattr(memorization, "_BLOCK", 3)
    some, others = images(10), images(23, seed=1)
    squared = ((some[:, None].astype(int) - others[None]) ** 2).sum(axis=(2, 3, 4))
    rows, distances = find_nearest_by_pixels(some, others, 16)
    assert np.array_equal(rows, squared.argmin(axis=1))
    assert np.array_equal(distances, squared.min(axis=1))


def test_large_images_are_averaged_down():
    some, others = images(6, side=40), images(20, 1, 40)
    others[13] = some[4]
    rows, distances = find_nearest_by_pixels(some, others, 8)
    assert (rows[4], distances[4]) == (13, 0)
    assert distances.max() <= 8 * 8 * 3 * 255**2


def test_the_orientation_of_a_copy_is_found():
    others, orientations = images(12, seed=2), np.random.default_rng(3).integers(0, ORIENTATIONS, 12)
    copies = np.concatenate([reorient(others[[row]], orientation) for row, orientation in enumerate(orientations)])
    back = find_best_orientations(copies, others, 16)
    for row in range(12):
        assert np.array_equal(reorient(copies[[row]], back[row])[0], others[row])


def test_copies_are_found_in_every_orientation():
    training, rng = images(40), np.random.default_rng(1)
    samples, orientations = images(24, 2), rng.integers(0, 8, 24)
    for row in range(0, 24, 2):
        samples[row] = reorient(training[[row + 5]], orientations[row])[0]
    found = make_search(training)[0].find(PixelExtractor().extract(samples))
    for row in range(24):
        if row % 2 == 0:
            assert (found.rows_N[row], found.distances_N[row]) == (row + 5, 0)
            assert np.array_equal(reorient(samples[[row]], found.orientations_N[row])[0], training[row + 5])
        else:
            assert found.distances_N[row] > 100


def test_an_orientation_is_used_only_if_it_is_nearer():
    training, samples = images(30), images(15, 1)
    search, extractor = make_search(training)
    found = search.find(extractor.extract(samples))
    features = extractor.extract(training).features_NF
    upright = np.linalg.norm(extractor.extract(samples).features_NF[:, None] - features, axis=2)
    assert (found.distances_N <= upright.min(axis=1)).all()
    for row in range(15):
        reoriented = extractor.extract(reorient(samples[[row]], found.orientations_N[row])).features_NF[0]
        assert found.distances_N[row] == pytest.approx(np.linalg.norm(reoriented - features[found.rows_N[row]]))
    kept = found.orientations_N == 0
    np.testing.assert_allclose(found.distances_N[kept], upright.min(axis=1)[kept])


def test_features_of_real_images_are_computed_once():
    search, extractor = make_search(images(30), images(10, 1))
    for seed in range(3):
        search.find(FeatureSet.from_outputs(images(5, seed), np.zeros((5, 72)) + seed))
        assert len(search.held_out_distances) == 10
    # Training and held-out images once, and each image at most once more, in another orientation.
    assert extractor.images <= 30 + 10 + 10 + 3 * 5
    assert make_search(images(3))[0].held_out_distances is None


def test_the_picture_shows_the_closest_pairs_first():
    training, held_out, samples = images(20), images(9, 1), images(10, 2)
    samples[7] = reorient(training[[3]], 5)[0]
    samples[4] = np.clip(training[11].astype(int) + 2, 0, 255)
    for held, columns in ((held_out, 3), (None, 2)):
        search, extractor = make_search(training, held)
        features = extractor.extract(samples)
        pixels = np.asarray(search.draw_closest_pairs(features, search.find(features), rows=2))
        # 12 pixels are drawn as 132; 6 between images; 16 for a line of text.
        assert pixels.shape == (16 + 6 + 2 * (132 + 16 + 6), 6 + columns * 138, 3)

        def tile(row, column, pixels=pixels):
            top, left = 22 + row * 154, 6 + column * 138
            return pixels[top : top + 132 : 11, left : left + 132 : 11]

        assert np.array_equal(tile(0, 0), training[3])
        assert np.array_equal(tile(0, 1), training[3])
        assert np.array_equal(tile(1, 0), samples[4])
        assert np.array_equal(tile(1, 1), training[11])
        if held is not None:
            assert any(np.array_equal(tile(0, 2), image) for image in held)


@pytest.mark.parametrize("number", [1, 5, 60, 99, 250, 1000])
def test_new_images_have_the_expected_rate(number):
    """The promise of the baseline: samples that are new images of the same kind."""
    rng = np.random.default_rng(number)
    rates = [memorization_rate(rng.normal(size=200), rng.normal(size=number))[0] for _ in range(600)]
    _, expected = memorization_rate(np.zeros(1), rng.normal(size=number))
    assert expected == pytest.approx(max(1, (number + 1) // 100) / (number + 1))
    assert np.mean(rates) == pytest.approx(expected, rel=0.2)


def test_copies_raise_the_rate():
    rng = np.random.default_rng(0)
    held_out = rng.uniform(1, 2, 300)
    assert memorization_rate(np.zeros(50), held_out)[0] == 1
    half = np.concatenate([np.zeros(50), rng.uniform(1, 2, 50)])
    assert memorization_rate(half, held_out)[0] == pytest.approx(0.5, abs=0.05)
    assert memorization_rate(rng.uniform(2, 3, 50), held_out)[0] == 0
    # Also if held-out images are themselves among the training images.
    assert memorization_rate(np.zeros(50), np.zeros(20))[0] == 1


def test_the_p_value_is_that_of_the_one_sided_rank_test():
    rng = np.random.default_rng(1)
    sample, held_out = rng.normal(0.3, 1, 70), rng.normal(size=40)
    assert memorization_p_value(sample, held_out) == mannwhitneyu(sample, held_out, alternative="less").pvalue
    assert memorization_p_value(held_out - 2, held_out) < 1e-6
    assert memorization_p_value(held_out + 2, held_out) > 1 - 1e-6
    assert 0.5 <= memorization_p_value(np.ones(9), np.ones(9)) <= 1
    values = [memorization_p_value(rng.normal(size=50), rng.normal(size=50)) for _ in range(400)]
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_resampled_rates_equal_repeated_distances():
    rng = np.random.default_rng(2)
    sample, held_out = rng.normal(-1, 1, 30), rng.normal(size=250)
    counts = Bootstrap(6, 0).draw_counts("test", 30, 250)
    for value, a, b in zip(bootstrap_memorization_rates(sample, held_out, *counts), *counts, strict=True):
        repeated = np.repeat(sample, a.astype(int)), np.repeat(held_out, b.astype(int))
        assert value == memorization_rate(*repeated)[0]
