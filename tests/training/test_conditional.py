"""A conditional model in training: classes together in one run, several critic updates, exact resuming, images by class."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from tiny_runs import MEDIQ, fingerprint

from qgan_qiskit.config import TrainingConfig
from qgan_qiskit.data import Batches
from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.runs.load import load_generator, select_classes
from qgan_qiskit.runs.sample import sample
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step
from qgan_qiskit.workflows.fit import classes_to_train, fit, resume

TRAINING = {"loss": "wgan-gp", "critic_steps": 3, "beta1_discriminator": 0.0, "batch_size": 4}
DATA = {"class_name": "melanoma,nevus"}


@pytest.fixture
def config(tiny):
    return tiny(model=MEDIQ, data=DATA, training=TRAINING)


def test_labels_belong_to_their_images():
    random = np.random.default_rng(0)
    labels_N = random.integers(0, 3, 50)
    images = np.zeros((50, 8, 8, 3), np.uint8)
    images[:] = (labels_N * 40)[:, None, None, None]
    names = tuple(str(n) for n in range(50))
    batches = Batches(ImageSet(images, labels_N, ("a", "b", "c"), names, names), 7, 5)
    for step in range(20):
        shown = ((batches.batch(step)[:, 0, 0, 0] + 1) * 127.5 / 40).round()
        assert torch.equal(shown.long(), batches.labels(step))


def test_several_classes_are_one_run_in_the_order_asked_for(config, tmp_path):
    assert classes_to_train(config) == ("melanoma,nevus",)
    assert classes_to_train(config.updated({"data": {"class_name": "MELANOMA"}})) == ("melanoma",)
    assert len(classes_to_train(config.updated({"data": {"class_name": None}}))[0].split(",")) > 2
    [run] = fit(config, tmp_path)
    assert run.name == "00000-mediq-default-melanoma_nevus"
    content = json.loads((run / "data.json").read_text())
    assert content["counts"] == {"melanoma": 32, "nevus": 32}
    row = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    assert math.isfinite(row["loss_generator"])
    assert row["gradient_norm_quantum"] > 0


def test_all_classes_are_named_in_the_runs_settings(config, tmp_path):
    [run] = fit(config.updated({"data": {"class_name": "all"}, "training": {"steps": 1}}), tmp_path)
    assert len(json.loads((run / "config.json").read_text())["data"]["class_name"].split(",")) > 2


def test_stopped_and_resumed_is_bit_for_bit_the_same(config, tmp_path):
    config = config.updated({"training": {"grid_every": 2}})
    [whole] = fit(config, tmp_path / "whole")
    [cut] = fit(config.updated({"training": {"steps": 2}}), tmp_path / "cut")
    resume(cut, {"training": {"steps": 6}})
    assert fingerprint(cut) == fingerprint(whole)


def test_images_of_a_class_are_its_own(config, tmp_path):
    [run] = fit(config, tmp_path)
    images = {}
    for name in ("melanoma", "NEVUS"):
        generator, opened = load_generator(run)
        select_classes(generator, opened, name)
        images[name] = torch.stack([image for _, image in sample(generator, range(5))])
    mixed, _ = load_generator(run)
    both = torch.stack([image for _, image in sample(mixed, range(5))])
    # The same seed differs between classes by its class alone: it is one of the two in the mixture.
    assert (images["melanoma"] - images["NEVUS"]).abs().max() > 0
    for number in range(5):
        assert any(torch.equal(both[number], of_class[number]) for of_class in images.values())


def test_critic_takes_its_steps_on_batches_of_their_own(config):
    """The same as by hand: three updates of the critic on a third each, then one of the generator."""
    from qgan_qiskit.models import build

    training = config.training
    pair = build(config.model, 16, torch.Generator().manual_seed(0), classes=("a", "b"))
    state = TrainingState.create(config, *pair)
    betas = {group["betas"] for group in state.discriminator_optimizer.param_groups}
    assert betas == {(0.0, training.beta2)}
    counts = {"critic": 0, "generator": 0, "fakes": []}
    original = state.generator.discriminator_inputs

    def counted(real, z):
        made = original(real, z)
        counts["fakes"].append((len(real), made.fake.requires_grad, made.labels_B.tolist()))
        return made

    state.generator.discriminator_inputs = counted
    for name, optimizer in (("critic", state.discriminator_optimizer), ("generator", state.generator_optimizer)):
        optimizer.register_step_post_hook(lambda *_, which=name: counts.__setitem__(which, counts[which] + 1))
    labels = torch.tensor([0, 1, 1, 0] + [1] * 4 + [0] * 4)
    real = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    losses = train_step(state, real, training, labels_B=labels)
    assert (counts["critic"], counts["generator"]) == (3, 1)
    assert counts["fakes"] == [(4, False, [0, 1, 1, 0]), (4, False, [1] * 4), (4, True, [0] * 4)]
    assert math.isfinite(losses.discriminator)
    assert state.step == 1


def test_images_of_a_step_are_all_its_batches():
    assert TrainingConfig(batch_size=10, critic_steps=3).images_per_step == 30


@pytest.mark.parametrize("options", [["--class", "melanoma"], ["--class", "nevus", "--grid", "grid.png"]])
def test_command_makes_images_of_a_class(options, config, main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [run] = fit(config, tmp_path / "runs")
    status, _, err = main("generate", run, "-n", "3", "--output", tmp_path / "images", *options)
    assert status == 0, err
    assert len(list((tmp_path / "images").glob("*.png"))) == 3


def test_a_class_that_is_not_there_is_refused(config, tiny, main, tmp_path):
    [run] = fit(config, tmp_path)
    status, _, err = main("generate", run, "--class", "carcinoma", "--output", tmp_path / "images")
    assert (status, err.strip()) == (2, "error: --class carcinoma: the run has melanoma, nevus")
    [one] = fit(tiny(), tmp_path / "one")
    status, _, err = main("generate", one, "--class", "nevus", "--output", tmp_path / "images")
    assert status == 2
    assert "makes images of class nevus alone" in err
    status, _, err = main(
        "fit",
        "--model",
        "mediq",
        "--class",
        "nevus,nevus",
        "--synthetic-per-class",
        "20",
        "--outdir",
        tmp_path / "twice",
    )
    assert status == 2
    assert "names a class twice" in err


def test_evaluate_measures_each_class(config, main, tmp_path):
    [run] = fit(config, tmp_path)
    status, text, err = main("evaluate", run, "--metrics", "ssim,ms-ssim", "--metrics-number", "12")
    assert status == 0, err
    assert "melanoma, all images of synthetic lesions" in text
    assert "nevus, all images of synthetic lesions" in text
    content = json.loads((run / "evaluation.json").read_text())
    assert [table["runs"][0]["run"] for table in content["tables"]] == [f"{run.name}/melanoma", f"{run.name}/nevus"]
