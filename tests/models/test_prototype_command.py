"""The prototypes command: means of features by class, from a backbone's weights or a run's critic, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import MEDIQ
from torchvision.models import resnet18

from qgan_qiskit.data import read_images, to_unit
from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.models.prototypes import read_prototypes
from qgan_qiskit.runs.load import load_discriminator
from qgan_qiskit.workflows.fit import fit
from qgan_qiskit.workflows.prototypes import compute_class_means

MOBILENET = Path(__file__).parents[3] / "shared" / "weights" / "mobilenet_v2_imagenet_qat8_dequantised.pth"
MADE = ["--synthetic-per-class", "10", "--resolution", "16", "--class", "nevus,melanoma"]


@pytest.fixture
def options(image_cache):
    return [*MADE, "--cache-dir", str(image_cache)]


def test_means_are_those_of_each_class():
    random = np.random.default_rng(0)
    labels_N = random.integers(0, 3, 150)
    images_NHWC = random.integers(0, 256, (150, 4, 4, 3), dtype=np.uint8)
    names = tuple(str(n) for n in range(150))
    found = compute_class_means(ImageSet(images_NHWC, labels_N, ("a", "b", "c"), names, names), lambda x: x.flatten(1))
    flat = to_unit(images_NHWC).flatten(1).numpy()
    np.testing.assert_allclose(found, [flat[labels_N == label].mean(0) for label in range(3)], atol=1e-6)


def test_features_of_a_weights_file(options, main, tmp_path, image_cache):
    torch.manual_seed(1)
    network = resnet18()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    output = tmp_path / "prototypes.npz"
    status, out, err = main(
        "prototypes", *options, "--backbone", "resnet18", "--weights", tmp_path / "weights.pth", "--normalization",
        "symmetric", "--input-size", "32", "--output", output,
    )  # fmt: skip
    assert (status, out.strip()) == (0, str(output)), err
    assert "2 prototypes of 512 features from 20 images" in err
    vectors = read_prototypes(output, ("melanoma", "nevus"))
    from qgan_qiskit.config import DataConfig

    data = DataConfig(resolution=16, synthetic_per_class=10, cache_dir=str(image_cache))
    images = read_images(data, 0).select("melanoma")
    network.fc = torch.nn.Identity()
    seen = torch.nn.functional.interpolate(to_unit(images.images_NHWC), size=(32, 32), mode="bilinear")
    with torch.no_grad():
        np.testing.assert_allclose(vectors[0], network.eval()(seen).mean(0), atol=1e-4)


@pytest.mark.skipif(not MOBILENET.is_file(), reason="needs ../shared/weights")
def test_pretrained_features_have_the_published_width(options, main, tmp_path):
    output = tmp_path / "prototypes.npz"
    weights = ["--backbone", "mobilenet_v2", "--weights", MOBILENET, "--normalization", "symmetric"]
    status, _, err = main("prototypes", *options, *weights, "--output", output)
    assert status == 0, err
    vectors = read_prototypes(output, ("nevus", "melanoma"))
    assert vectors.shape == (2, 1280)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_a_runs_own_critic_and_training_from_its_prototypes(options, tiny, main, tmp_path):
    training = {"loss": "wgan-gp", "steps": 2, "batch_size": 4}
    data = {"class_name": "melanoma,nevus"}
    [run] = fit(tiny(model=MEDIQ, data=data, training=training), tmp_path)
    output = tmp_path / "prototypes.npz"
    status, _, err = main("prototypes", *options, "--run", run, "--output", output)
    assert status == 0, err
    critic, _ = load_discriminator(run)
    width = critic.score.in_features
    assert read_prototypes(output, ("nevus",)).shape == (1, width)
    model = {**MEDIQ, "prototype_width": width, "prototype_file": str(output)}
    [second] = fit(tiny(model=model, data=data, training=training), tmp_path)
    output.unlink()
    # The run holds what it took from the file.
    status, _, err = main("generate", second, "-n", "2", "--output", tmp_path / "images")
    assert status == 0, err


@pytest.mark.parametrize(
    ("more", "problem"),
    {
        "nothing": ([], "give one of them"),
        "weights alone": (["--weights", "x.pth"], "give one of them"),
        "no file": (["--backbone", "resnet18", "--weights", "x.pth"], "--weights x.pth: cannot be read"),
        "no run": (["--run", "nowhere"], "nowhere"),
    }.values(),
)
def test_what_cannot_be_done_is_refused_in_one_line(more, problem, options, main, tmp_path):
    status, _, err = main("prototypes", *options, *more, "--output", tmp_path / "prototypes.npz")
    assert status != 0
    assert problem in err
    assert len(err.splitlines()) == 1


def test_a_file_in_part_is_refused(options, main, tmp_path):
    state = {name: tensor for name, tensor in resnet18().state_dict().items() if not name.startswith("layer4")}
    torch.save(state, tmp_path / "weights.pth")
    weights = ["--backbone", "resnet18", "--weights", tmp_path / "weights.pth"]
    status, _, err = main("prototypes", *options, *weights, "--output", tmp_path / "prototypes.npz")
    assert status == 3
    assert "lacks layer4" in err
