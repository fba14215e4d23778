"""The evaluator: results against the metrics by hand, baselines, seeds, unusual sets and refusals; the table of results."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from qgan_qiskit.config import METRICS, EvaluationConfig
from qgan_qiskit.errors import DataError, UsageError
from qgan_qiskit.metrics import Evaluator, MetricResult, frechet_distance
from qgan_qiskit.metrics.inception import Inception
from qgan_qiskit.metrics.results import format_table

pytestmark = pytest.mark.usefixtures("small_inception")

FROM_64 = {
    "fid": ["FID, 64-d"],
    "kid": ["KID, 64-d"],
    "ssim": ["SSIM to nearest real"],
    "ms-ssim": ["MS-SSIM of pairs, 2 scales"],
    "prdc": ["precision, k = 3", "recall, k = 3", "density, k = 5", "coverage, k = 5"],
    "memorization": ["distance to training"],
}


def images(number, seed=0, side=16):
    """Blobs of random color on a random ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    made = []
    for _ in range(number):
        near = np.exp(-((x - rng.uniform(0.2, 0.8)) ** 2 + (y - rng.uniform(0.2, 0.8)) ** 2) * rng.uniform(8, 40))
        made.append(rng.uniform(150, 250, 3) * (1 - near[..., None]) + rng.uniform(0, 120, 3) * near[..., None])
    return np.array(made).reshape(number, side, side, 3).astype(np.uint8)


@pytest.fixture
def config(small_weights):
    def make(metrics="all", **changes):
        return EvaluationConfig(metrics=metrics, fid_weights=str(small_weights), bootstrap=20, **changes)

    return make


def named(results):
    return {result.name: result for result in results}


def test_all_measures_what_the_weights_allow_and_notes_the_rest(config):
    evaluator = Evaluator(config(), images(30))
    assert set(evaluator.metrics) == set(METRICS) - {"is"}
    assert len(evaluator.notes) == 2
    assert "ends at feature layer 64" in evaluator.notes[0]
    assert evaluator.notes[1].startswith("left out is: up_to_64.pth ends at feature layer 64")
    results = evaluator.measure(images(30, 1))
    assert [result.name for result in results] == [name for names in FROM_64.values() for name in names]
    for result in results:
        assert np.isfinite(result.value)
        assert result.low <= result.value <= result.high
        assert result.seed == 0
        assert MetricResult(**json.loads(json.dumps(result.as_dict(), allow_nan=False))) == result
        network = result.metric not in ("ssim", "ms-ssim")
        assert (result.feature_layer, result.resize) == ((64, "bilinear") if network else (None, None))
        assert (result.weights_digest is not None) == network


def test_values_and_baselines_equal_the_metric_by_hand(config, small_weights):
    real, fake = images(50), images(20, 1)
    result = named(Evaluator(config("fid", metrics_number=20), real).measure(fake))["FID, 64-d"]
    network = Inception(small_weights)

    def features(some):
        levels = torch.from_numpy(some.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
        return network(levels, [64])[64].double().numpy()

    # The choice of real images is the evaluator's own; the baseline's two halves begin with it.
    rows = Evaluator(config("fid", metrics_number=20), real)._rows
    assert len(set(rows)) == len(rows) == 40
    assert result.value == pytest.approx(frechet_distance(features(real[rows[:20]]), features(fake)), rel=1e-4)
    expected = frechet_distance(features(real[rows[:20]]), features(real[rows[20:]]))
    assert result.baseline == pytest.approx(expected, rel=1e-4)
    assert (result.real_number, result.fake_number, result.baseline_number) == (20, 20, 20)


def test_real_images_against_themselves(config):
    real = images(30)
    found = named(Evaluator(config(), real).measure(real))
    assert found["FID, 64-d"].value < 1e-6
    assert found["KID, 64-d"].value <= 0
    assert found["SSIM to nearest real"].value == pytest.approx(1, abs=1e-4)
    assert [found[name].value for name in FROM_64["prdc"]] == pytest.approx([1, 1, 6 / 5, 1])
    assert found["distance to training"].value == 0


def test_the_seed_alone_decides_the_choice_of_images(config):
    real, fake = images(40), images(20, 1)
    first = Evaluator(config(metrics_number=12), real)
    results = first.measure(fake)
    assert first.measure(images(15, 2)) != results
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    assert first.measure(fake) == results == Evaluator(config(metrics_number=12), real).measure(fake)
    assert np.array_equal(state[0], np.random.get_state()[1])
    assert torch.equal(state[1], torch.get_rng_state())
    other = Evaluator(config(metrics_number=12, evaluation_seed=1), real).measure(fake)
    assert named(other)["FID, 64-d"].value != named(results)["FID, 64-d"].value


def test_features_of_real_images_are_computed_once(config, monkeypatch):
    seen = []
    forward = Inception.forward
    monkeypatch.setattr(
        Inception, "forward", lambda self, some, outputs: (seen.append(len(some)), forward(self, some, outputs))[1]
    )
    evaluator = Evaluator(config("fid,prdc", metrics_number=10), images(50))
    evaluator.measure(images(10, 1))
    assert sum(seen) == 10 + 20
    evaluator.measure(images(10, 2))
    assert sum(seen) == 10 + 20 + 10
    seen.clear()
    Evaluator(config("ssim,ms-ssim"), images(20)).measure(images(10, 1))
    assert seen == []


def test_held_out_images_give_memorization_rate_and_p_value(config):
    real, fake = images(60), images(30, 1)
    copies = np.concatenate([fake[:15], real[:15, :, ::-1]])
    evaluator = Evaluator(config("memorization"), real, images(40, 2))
    new, copied = named(evaluator.measure(fake)), named(evaluator.measure(copies))
    assert list(new) == ["distance to training", "memorization rate", "memorization p"]
    assert new["memorization rate"].baseline == copied["memorization rate"].baseline == pytest.approx(1 / 41)
    assert new["memorization rate"].value < 0.2
    assert copied["memorization rate"].value >= 0.5, "mirrored copies count"
    assert copied["memorization p"].value < 0.01
    assert new["distance to training"].baseline == copied["distance to training"].baseline > 0
    assert {result.real_number for result in copied.values()} == {60}, "all training images are searched"
    width, height = evaluator.draw_closest_pairs(rows=3).size
    assert (width, height) == (6 + 3 * 134, 22 + 3 * 150)


def test_training_images_may_differ_from_the_real_ones(config):
    training, unseen = images(40), images(40, 1)
    evaluator = Evaluator(config("fid,memorization"), unseen, training_THWC=training)
    found = named(evaluator.measure(training[:20]))
    assert found["distance to training"].value == 0
    assert found["FID, 64-d"].value > 0
    absent = Evaluator(config(), unseen, training_THWC=training[:0])
    assert "memorization" not in absent.metrics
    assert any("not available" in note for note in absent.notes)


def test_the_picture_needs_a_memorization_measurement(config):
    evaluator = Evaluator(config("fid,memorization"), images(20))
    with pytest.raises(ValueError, match="measurement"):
        evaluator.draw_closest_pairs()
    evaluator = Evaluator(config("fid"), images(20))
    evaluator.measure(images(20, 1))
    with pytest.raises(ValueError, match="memorization"):
        evaluator.draw_closest_pairs()


def test_complete_weights_give_the_inception_score_and_the_deepest_layer(whole_weights):
    config = EvaluationConfig(metrics="fid,is", fid_weights=str(whole_weights), bootstrap=0)
    evaluator = Evaluator(config, images(6))
    assert evaluator.notes == ()
    found = named(evaluator.measure(images(4, 1)))
    assert list(found) == ["FID, 2048-d", "IS"]
    assert 1 <= found["IS"].value <= 1008
    assert found["IS"].feature_layer is None
    assert found["IS"].low is None
    assert found["FID, 2048-d"].feature_layer == 2048


# --- unusual sets: a defined value or a refusal ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 9, 10, 11, 12])
def test_few_real_images_leave_out_metrics(number, config):
    evaluator = Evaluator(config(), images(number))
    results = evaluator.measure(images(max(number, 6), 1))
    assert all(np.isfinite(result.value) for result in results)
    expected = {"ssim", "memorization"} | ({"fid", "kid", "ms-ssim"} if number >= 2 else set())
    assert set(evaluator.metrics) == expected | ({"prdc"} if number >= 6 else set())
    # Half of the images on each side of the baseline.
    baselines = {result.metric: result.baseline for result in results}
    assert (baselines["ssim"] is not None) == (number >= 2)
    assert (baselines.get("fid") is not None) == (number >= 4)
    assert (baselines.get("prdc") is not None) == (number >= 12)
    fid = named(results).get("FID, 64-d")
    assert fid is None or (fid.low is None) == (number < 10)


@pytest.mark.parametrize(
    ("metric", "number", "words"),
    [("fid", 1, "at least 2"), ("kid", 1, "at least 2"), ("prdc", 5, "at least 6"), ("ms-ssim", 1, "at least 2")],
)
def test_too_few_images_for_a_named_metric(metric, number, words, config):
    with pytest.raises(DataError, match=f"{metric} cannot.*{words} real images"):
        Evaluator(config(metric), images(number))
    for how in (metric, "all"):
        with pytest.raises(DataError, match=f"{words} generated images"):
            Evaluator(config(how), images(20)).measure(images(number))


def test_no_images(config):
    with pytest.raises(DataError, match="no real images"):
        Evaluator(config(), images(0))
    with pytest.raises(DataError, match="no held-out images"):
        Evaluator(config(), images(20), images(0))
    with pytest.raises(DataError, match="no generated images"):
        Evaluator(config(), images(20)).measure(images(0))


def test_more_images_requested_than_available(config):
    evaluator = Evaluator(config("fid,kid", metrics_number=1000), images(21))
    assert evaluator.sample_size == 21
    result = named(evaluator.measure(images(30, 1)))["FID, 64-d"]
    assert (result.real_number, result.fake_number, result.baseline_number) == (21, 30, 10)


@pytest.mark.parametrize("side", ["real", "fake", "both"])
def test_constant_images_have_values(side, config):
    constant = np.full((12, 16, 16, 3), 90, np.uint8)
    real = images(12) if side == "fake" else constant
    fake = images(12, 1) if side == "real" else constant
    found = named(Evaluator(config(), real, images(12, 2)).measure(fake))
    for result in found.values():
        assert all(np.isfinite(value) for value in (result.value, result.low, result.high) if value is not None)
    if side == "both":
        assert found["FID, 64-d"].value == pytest.approx(0, abs=1e-6)
        assert found["memorization rate"].value == 1
        assert found["coverage, k = 5"].value == 1
    else:
        assert found["FID, 64-d"].value > 0.01


def test_sizes_must_agree(config):
    for extra in ({"held_out_HHWC": images(4, side=8)}, {"training_THWC": images(4, side=8)}):
        with pytest.raises(DataError, match=r"8x8 pixels.*16x16"):
            Evaluator(config(), images(20), **extra)
    with pytest.raises(DataError, match=r"32x32 pixels.*16x16"):
        Evaluator(config(), images(20)).measure(images(20, side=32))
    for wrong in (images(4).astype(float), images(4)[..., :1], images(4)[0]):
        with pytest.raises(ValueError, match="uint8"):
            Evaluator(config(), wrong)


def test_missing_library(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    evaluator = Evaluator(config(), images(20))
    assert not {"ssim", "ms-ssim"} & set(evaluator.metrics)
    assert any("torchmetrics" in note and "qgan_qiskit[metrics]" in note for note in evaluator.notes)
    with pytest.raises(UsageError, match=r"ssim.*torchmetrics"):
        Evaluator(config("ssim"), images(20))


@pytest.mark.parametrize("metric", ["fid", "kid", "is", "prdc", "memorization"])
def test_missing_weights(metric):
    with pytest.raises(DataError, match=f"{metric} cannot.*--fid-weights"):
        Evaluator(EvaluationConfig(metrics=metric), images(20))
    evaluator = Evaluator(EvaluationConfig(metrics="all"), images(20))
    assert evaluator.metrics == ("ssim", "ms-ssim")
    assert evaluator.notes[0].startswith("left out fid, kid, is, prdc, memorization: ")


def test_outputs_that_the_weights_lack_are_refused(config, tmp_path):
    with pytest.raises(DataError, match=r"class logits.*layers 64"):
        Evaluator(config("is"), images(20))
    with pytest.raises(DataError, match=r"layer 2048.*layers 64"):
        Evaluator(config("all", feature_layer="2048"), images(20))
    with pytest.raises(DataError, match=r"nothing\.pth"):
        Evaluator(EvaluationConfig(metrics="fid", fid_weights=str(tmp_path / "nothing.pth")), images(20))


def test_tiny_images(config):
    evaluator = Evaluator(config(), images(12, side=8))
    assert "ms-ssim" not in evaluator.metrics
    assert "images of at least 11 pixels a side are needed, not 8" in " ".join(evaluator.notes)
    assert "SSIM to nearest real" in named(evaluator.measure(images(12, 1, side=8)))
    with pytest.raises(DataError, match="11 pixels"):
        Evaluator(config("ms-ssim"), images(12, side=8))


def test_gray_images_have_values(config):
    real, fake = (images(20, seed).mean(axis=3, keepdims=True).astype(np.uint8).repeat(3, 3) for seed in (0, 1))
    results = Evaluator(config(), real).measure(fake)
    assert all(np.isfinite(result.value) for result in results)


def test_no_resamples_no_intervals(config):
    config = config().model_copy(update={"bootstrap": 0})
    assert {result.low for result in Evaluator(config, images(20)).measure(images(20, 1))} == {None}


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_shows_every_result_baseline_and_condition(config):
    results = Evaluator(config(), images(30), images(12, 4)).measure(images(30, 1))
    moved = [replace(result, value=result.value + 1) for result in results]
    for width in (60, 120, 1000):
        text = format_table({"one": results, "another run": moved}, width)
        lines = text.splitlines()
        assert max(map(len, lines)) <= max(width, 120)
        rows = {label: " ".join(line for line in lines if line.startswith(label)) for label in ("one", "another run")}
        baselines = " ".join(line for line in lines if line.startswith("real-vs-real baseline "))
        for result, other in zip(results, moved, strict=True):
            assert result.name in text
            assert f"{result.value:.4g}" in rows["one"]
            assert f"{other.value:.4g}" in rows["another run"]
            assert "-" in baselines if result.baseline is None else f"{result.baseline:.4g}" in baselines
        for words in (
            "30 real and 30 generated images",
            "feature layer 64",
            results[0].weights_digest[:12],
            "15 real images",
        ):
            assert words in text
    assert "Inception" not in format_table({"one": [f for f in results if f.weights_digest is None]})
