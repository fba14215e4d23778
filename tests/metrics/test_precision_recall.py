"""Precision, recall, density and coverage against prdc and torch-fidelity; nearest rows against scikit-learn."""

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from sklearn.neighbors import NearestNeighbors
from torch_fidelity.metric_prc import calculate_precision_recall_full

from qgan_qiskit.metrics import precision_recall
from qgan_qiskit.metrics.precision_recall import find_nearest, precision_recall_density_coverage


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("block", [7, 500])
def test_equal_prdc_and_torch_fidelity(seed, block, monkeypatch, capsys):
    monkeypatch.setattr(precision_recall, "_BLOCK", block)
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 10))
    real = rng.normal(size=(int(rng.integers(7, 60)), size))
    fake = rng.normal(rng.uniform(0, 2), rng.uniform(0.3, 2), size=(int(rng.integers(7, 60)), size))
    values = precision_recall_density_coverage(real, fake)
    assert {name: len(each) for name, each in values.items()} == {
        "precision": len(fake),
        "recall": len(real),
        "density": len(fake),
        "coverage": len(real),
    }
    found = {name: each.mean() for name, each in values.items()}
    three, five = compute_prdc(real, fake, nearest_k=3), compute_prdc(real, fake, nearest_k=5)
    expected = {
        "precision": three["precision"],
        "recall": three["recall"],
        "density": five["density"],
        "coverage": five["coverage"],
    }
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)
    precision, recall = calculate_precision_recall_full(torch.from_numpy(fake), torch.from_numpy(real), 3)
    assert (found["precision"], found["recall"]) == pytest.approx((precision, recall), rel=1e-6)


def test_known_values():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(40, 3))

    def means(fake):
        return {name: float(values.mean()) for name, values in precision_recall_density_coverage(real, fake).items()}

    # An image on the edge of a ball is in it, so each real image and its 5 neighbors are: 6 images in balls of k = 5.
    assert means(real) == pytest.approx({"precision": 1, "recall": 1, "density": 6 / 5, "coverage": 1})
    assert means(real + 1000) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    # One image over and over: precise, and nothing else.
    collapsed = means(np.repeat(real[:1], 40, axis=0))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] == pytest.approx(1 / 40)
    assert collapsed["coverage"] < 0.4


def test_constant_sets_have_values_and_few_rows_are_refused():
    constant = np.ones((8, 2))
    assert {
        float(v.mean()) for n, v in precision_recall_density_coverage(constant, constant).items() if n != "density"
    } == {1.0}
    assert {float(v.mean()) for v in precision_recall_density_coverage(constant, constant + 1).values()} == {0.0}
    for few in range(6):
        for pair in ((constant, constant[:few]), (constant[:few], constant)):
            with pytest.raises(ValueError, match="6 rows"):
                precision_recall_density_coverage(*pair)
    precision_recall_density_coverage(constant[:6], constant[:6])


@pytest.mark.parametrize("seed", range(3))
def test_nearest_rows(seed, monkeypatch):
    monkeypatch.setattr(precision_recall, "_BLOCK", 4)
    rng = np.random.default_rng(seed)
    others, features = rng.normal(size=(30, 6)), rng.normal(size=(11, 6))
    features[3] = others[17]
    distances, rows = NearestNeighbors(n_neighbors=1).fit(others).kneighbors(features)
    found_rows, found_distances = find_nearest(features, others)
    assert np.array_equal(found_rows, rows[:, 0])
    np.testing.assert_allclose(found_distances, distances[:, 0], rtol=1e-9, atol=1e-12)
    assert (found_rows[3], found_distances[3]) == (17, 0)
