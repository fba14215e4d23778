"""Training of a classifier: the order of images, what it learns, that it repeats, and traditional augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_augment_weights import small_mobilenet
from torchvision.models._api import BUILTIN_MODELS

from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.errors import DivergedError
from qgan_qiskit.study.augment.classifier import (
    Preprocessing,
    augment_batch,
    batch_order,
    build_classifier,
    geometric_augmentation,
    predict,
    to_tensor,
    train_classifier,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setitem(BUILTIN_MODELS, "mobilenet_v2", small_mobilenet)


@pytest.mark.parametrize(("images", "batch", "steps"), [(10, 4, 7), (3, 8, 2), (8, 8, 3), (1, 2, 1)])
def test_every_image_comes_equally_often(images, batch, steps):
    order = batch_order(images, batch, steps, seed=1)
    assert order.shape == (steps, batch)
    for start in range(0, steps * batch, images):
        epoch = order.flatten()[start : start + images].tolist()
        assert len(set(epoch)) == len(epoch) and max(epoch) < images
    assert torch.equal(order, batch_order(images, batch, steps, seed=1))
    # More steps go on with the same order.
    assert torch.equal(batch_order(images, batch, steps + 3, seed=1)[:steps], order)


def red_and_blue(count):
    """Images that differ in their color."""
    numbers = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = numbers.integers(0, 120, (count, 16, 16, 3), dtype=np.uint8)
    images[labels == 0, :, :, 0] += 100
    images[labels == 1, :, :, 2] += 100
    return to_tensor(images, CPU), torch.from_numpy(labels)


def config(**more):
    return AugmentConfig(backbone="mobilenet_v2", **{"steps": 30, "batch_size": 8, "lr": 0.01, **more})


@pytest.mark.parametrize("traditional", [False, True])
def test_it_learns_what_there_is_to_learn_and_repeats_itself(traditional):
    images, labels = red_and_blue(40)
    found, before = [], torch.get_rng_state()
    for seed in (0, 0, 1):
        network, _ = build_classifier(config(), 2, seed)
        losses = train_classifier(network, images[:24], labels[:24], config(), seed, traditional=traditional)
        found.append((losses, predict(network, images[24:], config())))
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0][0] == found[1][0] != found[2][0]
    assert np.array_equal(found[0][1], found[1][1]) and not np.array_equal(found[0][1], found[2][1])
    probabilities = found[0][1]
    assert probabilities.dtype == np.float64 and np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels[24:].numpy()).mean() >= 0.9
    assert len(found[0][0]) == 30 and found[0][0][-1] < found[0][0][0]


def test_predictions_do_not_depend_on_the_images_beside_them():
    images, _ = red_and_blue(300)
    network, _ = build_classifier(config(), 2, 0)
    alone = predict(network, images[290:291], config())
    assert np.allclose(predict(network, images, config())[290:291], alone, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_cell():
    images, labels = red_and_blue(16)
    network, _ = build_classifier(config(), 2, 0)
    with torch.no_grad():
        network.classifier[1].weight.fill_(float("inf"))
    with pytest.raises(DivergedError, match=r"at step 0: lower --lr"):
        train_classifier(network, images, labels, config(steps=2), 0)
    with pytest.raises(DivergedError, match="not finite"):
        predict(network, images, config())


def test_images_come_in_the_range_and_size_that_the_weights_expect():
    levels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 16, 16)
    symmetric = Preprocessing(config(normalization="symmetric"), 16, CPU)(levels)
    assert (symmetric[0] == -1).all() and (symmetric[1] == 1).all()
    imagenet = Preprocessing(config(input_size=32), 16, CPU)(levels)
    assert imagenet.shape == (2, 3, 32, 32)
    expected = [
        (1 - mean) / deviation for mean, deviation in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    ]
    assert imagenet[1, :, 5, 5].tolist() == pytest.approx(expected)


def test_traditional_augmentation_changes_each_image_on_its_own_and_invents_no_colors():
    numbers = np.random.default_rng(0)
    image = torch.from_numpy(numbers.uniform(0.3, 0.6, (3, 16, 16)).astype(np.float32))
    batch = image.expand(6, 3, 16, 16)
    transform = geometric_augmentation(16)
    torch.manual_seed(0)
    changed = augment_batch(transform, batch)
    assert changed.shape == batch.shape
    assert len({part.numpy().tobytes() for part in changed}) == 6
    # No black corners from turning: interpolation stays between the levels there are, up to the antialiased resize's rounding.
    assert changed.min() > 0.29 and changed.max() < 0.61
    torch.manual_seed(0)
    assert torch.equal(changed, augment_batch(transform, batch))
    # An even image stays what it is, wherever it is turned and cropped.
    even = torch.full((4, 3, 16, 16), 0.25)
    assert torch.allclose(augment_batch(transform, even), even, atol=1e-6)
