"""Which runs may take part: none that may have seen a validation or test image."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_augment import CLASSES, DATA, DIVISION, train_runs

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import make_synthetic_lesions, read_images
from qgan_qiskit.errors import CheckpointError, UsageError
from qgan_qiskit.study.augment.sources import open_sources, parse_generators


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    return train_runs(tiny, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def data(image_cache):
    return DataConfig(resolution=16, synthetic_per_class=60, cache_dir=str(image_cache), **DIVISION)


def changed(run, tmp_path, section="data", **settings):
    """A copy of a run whose config.json says something else."""
    copy = shutil.copytree(run, tmp_path / "copy")
    content = json.loads((copy / "config.json").read_text())
    content[section] |= settings
    (copy / "config.json").write_text(json.dumps(content))
    return copy


def test_generators_are_named_with_their_runs(tmp_path):
    found = parse_generators(["a=x,y", "b.2-c=z"])
    assert {name: [str(run) for run in paths] for name, paths in found.items()} == {"a": ["x", "y"], "b.2-c": ["z"]}
    for bad in ("x", "=x", "a=", "a=x,", "a b=x", "a/b=x", "a" * 41 + "=x"):
        with pytest.raises(UsageError, match="not of the form NAME=RUN"):
            parse_generators([bad])
    with pytest.raises(UsageError, match="a is given twice"):
        parse_generators(["a=x", "a=y"])


def test_runs_are_found_by_class_in_the_order_given(runs, data, tiny, tmp_path):
    second = train_runs(tiny, tmp_path / "second", seed=1)
    found = open_sources("g", [runs[1], second[0], runs[0], second[1]], data, CLASSES)
    assert list(found) == list(CLASSES)
    assert [source.checkpoint for source in found["nevus"]] == [
        str(run / "checkpoints" / "step-00000002") for run in (second[0], runs[0])
    ]
    first, other = found["melanoma"]
    assert (first.model, first.classical_baseline, first.step, first.class_name) == ("dcgan", False, 2, "melanoma")
    assert first.digest != other.digest
    (early,) = open_sources("g", [runs[0] / "checkpoints" / "step-00000002", runs[1]], data, CLASSES)["nevus"]
    assert early.digest == found["nevus"][1].digest


@pytest.mark.parametrize(
    "settings",
    [
        {"split": "all"},
        {"split": "validation"},
        {"split": "test"},
        {"validation_fraction": 0.1},
        {"test_fraction": 0.05},
        {"split_seed": 5},
    ],
    ids=str,
)
def test_a_run_that_may_have_seen_other_images_is_refused_with_the_remedy(settings, runs, data, tmp_path):
    copy = changed(runs[0], tmp_path, **settings)
    with pytest.raises(UsageError) as caught:
        open_sources("g", [copy, runs[1]], data, CLASSES)
    message = str(caught.value)
    assert message.startswith(
        f"{copy}: may have seen validation or test images (split {settings.get('split', 'train')}"
    )
    assert message.endswith(
        "train it with fit --split train --validation-fraction 0.2 --test-fraction 0.3 --split-seed 4"
    )
    assert "\n" not in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 32}, "its images have resolution 32, those of the study 16; set --resolution"),
        ({"class_name": "keratosis"}, "class keratosis, which is not one of nevus, melanoma; leave it out"),
    ],
    ids=str,
)
def test_a_run_of_other_images_is_refused(settings, message, runs, data, tmp_path):
    with pytest.raises(UsageError, match=message):
        open_sources("g", [changed(runs[0], tmp_path, **settings), runs[1]], data, CLASSES)


def test_a_class_without_a_run_and_a_run_that_is_none_are_refused(runs, data, tmp_path):
    with pytest.raises(UsageError, match="--generator g: has no run of class melanoma"):
        open_sources("g", [runs[0]], data, CLASSES)
    with pytest.raises(CheckpointError, match="not a run folder"):
        open_sources("g", [tmp_path, runs[1]], data, CLASSES)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        open_sources("g", [runs[0] / "checkpoints" / "step-00000009", runs[1]], data, CLASSES)


def test_images_that_were_moved_are_known_by_their_content(tiny, image_cache, tmp_path):
    """The same images elsewhere are the same train split; others at another place are not."""
    lesions = make_synthetic_lesions(40, 16, 0, CLASSES)
    for number, place in enumerate(("here", "there", "others")):
        for row, name in enumerate(lesions.names):
            path = tmp_path / place / f"{name.removeprefix('made/')}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = lesions.images_NHWC[row]
            Image.fromarray(np.flip(pixels, axis=0) if number == 2 else pixels).save(path)
    runs = train_runs(tiny, tmp_path / "runs", path=str(tmp_path / "here"))
    for place in ("here", "there", "others"):
        data = DataConfig(path=str(tmp_path / place), resolution=16, cache_dir=str(image_cache), **DIVISION)
        if place == "others":
            with pytest.raises(UsageError, match="are not the train split of the study's class nevus"):
                open_sources("g", runs, data, CLASSES)
        else:
            assert set(open_sources("g", runs, data, CLASSES)) == set(CLASSES)


def test_what_the_train_part_trains_on_is_no_validation_or_test_image(tiny, tmp_path):
    """The other side of the check: a run that passes has seen images of the train split only."""
    config = tiny(data={**DATA, "class_name": "nevus"})
    seen = set(read_images(config.data, 0).names)
    others = [DataConfig(**{**config.data.model_dump(), "split": part}) for part in ("validation", "test")]
    held_out = [set(read_images(one, 0).names) for one in others]
    assert all(held_out) and not seen & (held_out[0] | held_out[1])
    assert len(seen | held_out[0] | held_out[1]) == 60
