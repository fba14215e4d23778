"""The search for copies: planted ones are found in every orientation; the statistics on new images and on copies."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.memorization import (
    NearestTrainingSearch,
    bootstrap_memorization_rates,
    memorization_p_value,
    memorization_rate,
    reorient,
)
from qgan_qiskit.stats import Bootstrap


class PixelReader:
    """Stands in for the network: features are the levels of a few pixels, which change when an image is turned."""

    def __init__(self):
        self.read_images = 0

    def extract(self, images):
        self.read_images += len(images)
        return FeatureSet(
            images, images[:, ::2, ::3].reshape(len(images), -1).astype(float), np.zeros((len(images), 0))
        )

    def extract_cached(self, images):
        return self.extract(images)


def images(number, seed, side=12):
    return np.random.default_rng(seed).integers(0, 256, (number, side, side, 3)).astype(np.uint8)


def search(training, held_out=None):
    reader = PixelReader()
    return NearestTrainingSearch(reader, training, held_out), reader


def test_copies_are_found_however_they_are_turned():
    training, rng = images(40, 0), np.random.default_rng(1)
    samples, turns = images(24, 2), rng.integers(0, 8, 24)
    for row in range(0, 24, 2):
        samples[row] = reorient(training[[row + 5]], turns[row])[0]
    found = search(training)[0].find(PixelReader().extract(samples))
    for row in range(24):
        if row % 2 == 0:
            assert (found.rows_N[row], found.distances_N[row]) == (row + 5, 0)
            assert np.array_equal(reorient(samples[[row]], found.orientations_N[row])[0], training[row + 5])
        else:
            assert found.distances_N[row] > 100


def test_a_turned_image_is_taken_only_where_that_brings_it_nearer():
    training, samples = images(30, 0), images(15, 1)
    reader = PixelReader()
    found = search(training)[0].find(reader.extract(samples))
    upright = np.linalg.norm(
        reader.extract(samples).features_NF[:, None] - reader.extract(training).features_NF, axis=2
    )
    assert (found.distances_N <= upright.min(axis=1)).all()
    for row in range(15):
        turned_features = reader.extract(reorient(samples[[row]], found.orientations_N[row])).features_NF[0]
        expected = np.linalg.norm(turned_features - reader.extract(training[found.rows_N[[row]]]).features_NF[0])
        assert found.distances_N[row] == pytest.approx(expected)
    kept = found.orientations_N == 0
    np.testing.assert_allclose(found.distances_N[kept], upright.min(axis=1)[kept])


def test_features_of_real_images_are_read_once():
    looking, reader = search(images(30, 0), images(10, 1))
    for seed in range(3):
        looking.find(FeatureSet(images(5, seed), np.zeros((5, 72)) + seed, np.zeros((5, 0))))
        assert len(looking.held_out_distances) == 10
    # Training and held-out images once, and each image at most once more, turned.
    assert reader.read_images <= 30 + 10 + 10 + 3 * 5
    assert search(images(3, 0))[0].held_out_distances is None


def test_the_picture_shows_the_closest_pairs_first():
    training, held_out, samples = images(20, 0), images(9, 1), images(10, 2)
    samples[7] = reorient(training[[3]], 5)[0]
    samples[4] = np.clip(training[11].astype(int) + 2, 0, 255)
    for held, columns in ((held_out, 3), (None, 2)):
        looking, reader = search(training, held)
        side = reader.extract(samples)
        pixels = np.asarray(looking.draw_closest_pairs(side, looking.find(side), rows=2))
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
def test_new_images_count_as_copies_as_often_as_is_said(number):
    """The promise of the floor: samples that are new images of the same kind."""
    rng = np.random.default_rng(number)
    shares = [memorization_rate(rng.normal(size=200), rng.normal(size=number))[0] for _ in range(600)]
    _, expected = memorization_rate(np.zeros(1), rng.normal(size=number))
    assert expected == pytest.approx(max(1, (number + 1) // 100) / (number + 1))
    assert np.mean(shares) == pytest.approx(expected, rel=0.2)


def test_copies_stand_out():
    rng = np.random.default_rng(0)
    held_out = rng.uniform(1, 2, 300)
    assert memorization_rate(np.zeros(50), held_out)[0] == 1
    half = np.concatenate([np.zeros(50), rng.uniform(1, 2, 50)])
    assert memorization_rate(half, held_out)[0] == pytest.approx(0.5, abs=0.05)
    assert memorization_rate(rng.uniform(2, 3, 50), held_out)[0] == 0
    # Also where held-out images are themselves among the training images.
    assert memorization_rate(np.zeros(50), np.zeros(20))[0] == 1


def test_p_value_is_that_of_the_rank_test_and_one_sided():
    rng = np.random.default_rng(1)
    sample, held_out = rng.normal(0.3, 1, 70), rng.normal(size=40)
    assert memorization_p_value(sample, held_out) == mannwhitneyu(sample, held_out, alternative="less").pvalue
    assert memorization_p_value(held_out - 2, held_out) < 1e-6
    assert memorization_p_value(held_out + 2, held_out) > 1 - 1e-6
    assert 0.5 <= memorization_p_value(np.ones(9), np.ones(9)) <= 1
    values = [memorization_p_value(rng.normal(size=50), rng.normal(size=50)) for _ in range(400)]
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_a_resampled_share_is_that_of_the_repeated_distances():
    rng = np.random.default_rng(2)
    sample, held_out = rng.normal(-1, 1, 30), rng.normal(size=250)
    counts = Bootstrap(6, 0).draw_counts("test", 30, 250)
    for value, a, b in zip(bootstrap_memorization_rates(sample, held_out, *counts), *counts, strict=True):
        repeated = np.repeat(sample, a.astype(int)), np.repeat(held_out, b.astype(int))
        assert value == memorization_rate(*repeated)[0]
