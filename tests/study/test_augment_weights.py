"""Weights files of classifiers: whole, in part, of another network, no weights at all; and batch norm folded away."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import MobileNetV2, ResNet
from torchvision.models._api import BUILTIN_MODELS
from torchvision.models.resnet import Bottleneck

from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.errors import DataError
from qgan_qiskit.models.backbones import find_folded_batch_norms, unfold_batch_norms
from qgan_qiskit.study.augment.classifier import build_classifier

WEIGHTS = Path(__file__).parents[2].parent / "shared" / "weights"


def small_mobilenet(weights=None, num_classes=1000):
    return MobileNetV2(num_classes, width_mult=0.1, inverted_residual_setting=[[1, 8, 1, 1], [2, 16, 2, 2]])


def small_resnet(weights=None, num_classes=1000):
    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes, width_per_group=4)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setitem(BUILTIN_MODELS, "mobilenet_v2", small_mobilenet)
    monkeypatch.setitem(BUILTIN_MODELS, "resnet50", small_resnet)


@pytest.fixture
def weights_file(tmp_path):
    """Return a function that saves what it is given."""

    def save(content):
        path = tmp_path / "weights.pth"
        torch.save(content, path)
        return str(path)

    return save


def trained(network):
    """Give every tensor values that no fresh network has, statistics of batch norm among them."""
    numbers = torch.Generator().manual_seed(5)
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = torch.rand(tensor.shape, generator=numbers) * 0.2 + 0.1
    network.load_state_dict(state)
    return network


def config(path=None, backbone="resnet50", **more):
    return AugmentConfig(backbone=backbone, weights=path, **more)


def test_a_whole_file_is_loaded_except_for_its_head(weights_file):
    source = trained(small_resnet()).state_dict()
    path = weights_file(source)
    network, start = build_classifier(config(path), 3, 0)
    found = network.state_dict()
    assert {name for name, tensor in found.items() if not torch.equal(tensor, source[name])} == {"fc.weight", "fc.bias"}
    assert found["fc.weight"].shape == (3, source["fc.weight"].shape[1])
    assert (start.backbone, start.weights, start.from_scratch, start.folded) == ("resnet50", "weights.pth", ("fc",), ())
    assert start.digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert start.parameters == sum(parameter.numel() for parameter in network.parameters())
    # Counts of batches may be left out; they change nothing.
    left = {name: tensor for name, tensor in source.items() if not name.endswith("num_batches_tracked")}
    again, start = build_classifier(config(weights_file(left)), 3, 0)
    assert start.from_scratch == ("fc",)
    assert torch.equal(again.state_dict()["layer4.0.conv3.weight"], source["layer4.0.conv3.weight"])


def test_a_part_is_loaded_as_far_as_it_goes_and_the_rest_is_named(weights_file):
    source = trained(small_resnet()).state_dict()
    gone = ("layer4.0.conv3.", "layer4.0.bn3.", "layer3.0.bn1.running_mean", "layer2.")
    kept = {name: tensor for name, tensor in source.items() if not name.startswith(gone) and not name.startswith("fc")}
    network, start = build_classifier(config(weights_file(kept)), 3, 0)
    assert start.from_scratch == ("layer2", "layer3.0.bn1 (in part)", "layer4.0.conv3", "layer4.0.bn3", "fc")
    fresh, _ = build_classifier(config(), 3, 0)
    for name, tensor in network.state_dict().items():
        expected = source[name] if name in kept else fresh.state_dict()[name]
        assert torch.equal(tensor, expected), name


def test_without_a_file_all_starts_from_a_seed_and_no_global_state_is_touched():
    before = torch.get_rng_state()
    first, start = build_classifier(config(), 3, 7)
    again, _ = build_classifier(config(), 3, 7)
    other, _ = build_classifier(config(), 3, 8)
    assert torch.equal(torch.get_rng_state(), before)
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same) and not torch.equal(first.fc.weight, other.fc.weight)
    assert (start.weights, start.digest, start.from_scratch) == (None, None, ("all layers",))


class Thing:
    """Nothing that may be loaded."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: small_mobilenet().state_dict(),
            "are not those of torchvision's resnet50; name another file, or another",
        ),
        (
            lambda: {**small_resnet().state_dict(), "conv1.weight": torch.zeros(2, 3, 7, 7)},
            r"'conv1.weight' has the shape",
        ),
        (lambda: {"fc.weight": torch.zeros(3, 8)}, "holds no layer of resnet50 but the head"),
        (dict, "holds no layer of resnet50"),
        (lambda: [torch.zeros(2)], "not a dictionary of tensors"),
        (lambda: {"conv1.weight": 3}, "not a dictionary of tensors"),
        (Thing, "cannot be read as weights"),
    ],
)
def test_a_wrong_file_is_one_line(weights_file, content, message):
    with pytest.raises(DataError, match=message) as caught:
        build_classifier(config(weights_file(content())), 3, 0)
    assert "\n" not in str(caught.value) and "weights.pth" in str(caught.value)


def test_a_file_that_is_none_is_one_line(tmp_path):
    for name, content in (("junk", b"junk"), ("empty", b""), ("nowhere", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: cannot be read") as caught:
            build_classifier(config(str(tmp_path / name)), 3, 0)
        assert "\n" not in str(caught.value)


def test_the_strides_of_the_original_resnet():
    """The same weights give sizes alike and other features, and each first 1x1 convolution sees three quarters less."""
    ours, _ = build_classifier(config(), 3, 0)
    original, _ = build_classifier(config(resnet_stride="conv1"), 3, 0)
    for layer in (2, 3, 4):
        block = original.get_submodule(f"layer{layer}.0")
        assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    assert original.layer1[0].conv1.stride == (1, 1)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x = images
    for network in (ours, original):
        network.eval()
    with torch.no_grad():
        assert ours(images).shape == original(images).shape
        assert not torch.allclose(ours(images), original(images))
        # Layer 2 of the original by hand: the subsampled input through a block without strides.
        x = original.maxpool(original.relu(original.bn1(original.conv1(images))))
        x = original.layer1(x)
        block, half = original.layer2[0], x[:, :, ::2, ::2]
        inner = block.relu(block.bn1(nn.functional.conv2d(half, block.conv1.weight)))
        inner = block.relu(block.bn2(nn.functional.conv2d(inner, block.conv2.weight, padding=1)))
        inner = block.bn3(nn.functional.conv2d(inner, block.conv3.weight))
        skip = block.downsample[1](nn.functional.conv2d(half, block.downsample[0].weight))
        assert torch.allclose(block(x), block.relu(inner + skip), atol=1e-6)


def fold(network):
    """Work every batch norm into the convolution before it, as quantization does."""
    layers = list(network.modules())
    for convolution, norm in itertools.pairwise(layers):
        if isinstance(norm, nn.BatchNorm2d):
            slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            shift = norm.bias - slope * norm.running_mean
            convolution.weight.data *= slope.view(-1, 1, 1, 1)
            norm.weight.data.fill_(1)
            norm.running_mean.zero_()
            norm.running_var.fill_(1)
            norm.bias.data = shift.detach()
    return network


def test_folded_batch_norm_is_found_and_measured_without_changing_the_network():
    network = fold(trained(small_mobilenet()))
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert find_folded_batch_norms(network) == names
    assert find_folded_batch_norms(network, ("features.0", "classifier")) == names[1:]
    assert find_folded_batch_norms(small_mobilenet()) == find_folded_batch_norms(trained(small_mobilenet())) == []
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network.eval()
    with torch.no_grad():
        before = network(images)
        unfold_batch_norms(network, names, images)
        after = network(images)
        assert torch.allclose(before, after, rtol=1e-3, atol=1e-4)
        assert find_folded_batch_norms(network) == []
        # Over the images that were measured, batch norm by their own statistics is batch norm by the kept ones.
        network.train()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        assert torch.allclose(network(images), before, rtol=0.02, atol=1e-2)


@pytest.fixture
def real_networks(monkeypatch):
    if not WEIGHTS.is_dir():
        pytest.skip(f"needs the weights of {WEIGHTS}, which are not there")
    from torchvision.models import mobilenet_v2, resnet50

    monkeypatch.setitem(BUILTIN_MODELS, "mobilenet_v2", mobilenet_v2)
    monkeypatch.setitem(BUILTIN_MODELS, "resnet50", resnet50)


def test_the_real_files_load(real_networks):
    path = str(WEIGHTS / "mobilenet_v2_imagenet_qat8_dequantised.pth")
    _, start = build_classifier(config(path, "mobilenet_v2"), 3, 0)
    assert start.from_scratch == ("classifier",) and len(start.folded) == 52
    path = str(WEIGHTS / "resnet50_v1_imagenet_to_layer3_partial.pth")
    _, start = build_classifier(config(path, resnet_stride="conv1"), 3, 0)
    assert start.folded == ()
    assert start.from_scratch[-1] == "fc"
    assert all(name.startswith("layer4") for name in start.from_scratch[:-1])
    assert "layer4.0.conv1" not in start.from_scratch
    with pytest.raises(DataError, match="another --backbone"):
        build_classifier(config(path, "mobilenet_v2"), 3, 0)
