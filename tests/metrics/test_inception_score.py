"""The inception score against torch-fidelity, torchmetrics and its definition; its resamples."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torchmetrics.image.inception import InceptionScore

from qgan_qiskit.metrics.inception_score import bootstrap_inception_scores, inception_score
from qgan_qiskit.stats import Bootstrap


@pytest.mark.filterwarnings("ignore:.*InceptionScore|.*degrees of freedom")
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition_torch_fidelity_and_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, size=(int(rng.integers(1, 40)), int(rng.integers(2, 30))))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    definition = np.exp(np.mean(np.sum(p * np.log(p / p.mean(axis=0)), axis=1)))
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=1, shuffle=True)[KEY_METRIC_ISC_MEAN]
    metric = InceptionScore(feature=torch.nn.Identity(), splits=1).set_dtype(torch.float64)
    metric.features, metric._update_count = [torch.from_numpy(logits)], 1
    for expected in (definition, theirs, float(metric.compute()[0])):
        assert inception_score(logits) == pytest.approx(expected, rel=1e-6)


def test_known_scores():
    assert inception_score(np.zeros((7, 11))) == pytest.approx(1)
    assert inception_score(np.random.default_rng(0).normal(size=(1, 11))) == pytest.approx(1)
    # Each image is certainly of another class.
    assert inception_score(200 * np.eye(11)) == pytest.approx(11)
    with pytest.raises(ValueError, match="one row"):
        inception_score(np.zeros((0, 11)))


def test_resamples_equal_repeated_rows():
    # Logits of 900: probabilities that are 0 in floating point.
    for scale in (2, 900):
        logits = scale * np.random.default_rng(2).normal(size=(20, 6))
        (counts,) = Bootstrap(5, 0).draw_counts("test", 20)
        for value, row in zip(bootstrap_inception_scores(logits, counts), counts, strict=True):
            assert value == pytest.approx(inception_score(np.repeat(logits, row.astype(int), axis=0)), rel=1e-9)
