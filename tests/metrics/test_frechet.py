"""The Fréchet distance against closed forms, and the Inception network on real weights and on files that are none."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from qgan_qiskit.errors import DataError
from qgan_qiskit.metrics import frechet_distance
from qgan_qiskit.metrics.inception import Inception768

WEIGHTS = Path(__file__).parents[2].parent / "shared" / "weights" / "fid_inception_2015-12-05_folded_to_mixed6e.pth"


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_matrix_square_root_formula(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 12))
    a, b = rng.normal(size=(60, size)) @ rng.normal(size=(size, size)), rng.normal(1, 2, (50, size))
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-8)


def test_known_values():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(100, 5))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, a + 3) == pytest.approx(5 * 9, rel=1e-8)
    # Scaling by 2: trace of (2 S^(1/2) - S^(1/2))**2 = trace of S, with the mean moved by itself.
    centred = a - a.mean(0)
    assert frechet_distance(centred, 2 * centred) == pytest.approx(np.trace(np.cov(a, rowvar=False)), rel=1e-8)


def test_fewer_rows_than_features_is_finite_and_bad_input_is_refused():
    rng = np.random.default_rng(1)
    assert np.isfinite(frechet_distance(rng.normal(size=(4, 30)), rng.normal(size=(5, 30))))
    for bad in (np.zeros((1, 3)), np.full((4, 3), np.nan)):
        with pytest.raises(ValueError, match="two rows"):
            frechet_distance(bad, np.zeros((4, 3)))
    with pytest.raises(ValueError, match="features"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))


@pytest.mark.skipif(not WEIGHTS.exists(), reason="needs ../shared/weights")
def test_inception_runs_on_its_weights():
    network = Inception768(WEIGHTS)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = network(images)
    assert features.shape == (2, 768)
    assert (features >= 0).all(), "the last layers end in ReLU"
    assert features.std() > 0.05
    torch.testing.assert_close(network(images[:1]), features[:1], rtol=1e-4, atol=1e-4)
    assert len(network.digest) == 64


def test_files_that_are_no_weights_are_refused(tmp_path):
    with pytest.raises(DataError, match="nothing"):
        Inception768(tmp_path / "nothing.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(DataError, match="text"):
        Inception768(tmp_path / "text.pth")
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, tmp_path / "part.pth")
    with pytest.raises(DataError, match="lacks"):
        Inception768(tmp_path / "part.pth")
