"""The Inception network against torch-fidelity's, layer by layer; weights files that end early or are invalid."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qgan_qiskit.errors import DataError
from qgan_qiskit.metrics.features import FeatureExtractor
from qgan_qiskit.metrics.inception import Inception

REAL = Path(__file__).parents[2].parent / "shared" / "weights" / "fid_inception_2015-12-05_folded_to_mixed6e.pth"


def pixels(number=2, side=299):
    """Random images, smooth enough to differ after averaging."""
    coarse = torch.randint(0, 256, (number, 3, 6, 6), generator=torch.Generator().manual_seed(1)).float()
    return torch.nn.functional.interpolate(coarse, size=(side, side)).to(torch.uint8)


def test_every_output_equals_torch_fidelity(whole_weights, their_network):
    network = Inception(whole_weights)
    images = pixels()
    # At 299 pixels neither resizes; torch-fidelity's levels are centered on 128.
    ours = network((images.float() - 128) / 128, [64, 192, 768, 2048, "logits"])
    for (output, found), expected in zip(ours.items(), their_network(images), strict=True):
        assert found.shape == expected.shape, output
        assert expected.std(dim=0).mean() > 100 * 1e-6, "the images must differ for the comparison to mean anything"
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/weights")
def test_genuine_weights_equal_torch_fidelity(their_network):
    before = {name: value.clone() for name, value in their_network.state_dict().items()}
    try:
        their_network.load_state_dict(torch.load(REAL, weights_only=True), strict=False)
        network, images = Inception(REAL), pixels()
        found = network((images.float() - 128) / 128, [64, 192, 768])
        for ours, theirs in zip(found.values(), their_network(images), strict=False):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    finally:
        their_network.load_state_dict(before)
    assert (network.feature_layers, network.has_logits) == ((64, 192, 768), False)
    assert "layer 768" in network.limitation
    assert network.digest == hashlib.sha256(REAL.read_bytes()).hexdigest()


def test_a_file_may_end_early_and_says_what_it_lacks(weights_up_to, whole_weights):
    whole = Inception(whole_weights)
    assert (whole.feature_layers, whole.has_logits, whole.limitation) == ((64, 192, 768, 2048), True, "")
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(2)) * 2 - 1
    for layer in whole.feature_layers:
        path = weights_up_to(layer)
        network = Inception(path)
        assert (network.feature_layers[-1], network.has_logits) == (layer, False)
        assert f"{path.name} ends at feature layer {layer}" in network.limitation
        assert torch.equal(network(image, [layer])[layer], whole(image, [layer])[layer])
        for missing in {*whole.feature_layers, "logits"} - {*network.feature_layers}:
            with pytest.raises(DataError, match="only feature layers 64") as error:
                network(image, [missing])
            assert str(error.value).count("\n") == 0
            assert str(path) in str(error.value)


def test_layers_after_a_missing_tensor_are_not_used(whole_weights, tmp_path):
    tensors = torch.load(whole_weights)
    del tensors["Mixed_5c.branch_pool.bn.bias"]
    torch.save(tensors, tmp_path / "hole.pth")
    network = Inception(tmp_path / "hole.pth")
    assert network.feature_layers == (64, 192)
    assert "no 'Mixed_5c.branch_pool.bn.bias'" in network.limitation


def test_images_are_independent_and_no_random_numbers_are_drawn(small_weights):
    state = torch.get_rng_state()
    network = Inception(small_weights)
    assert torch.equal(state, torch.get_rng_state())
    images = pixels(5, 50).float() / 127.5 - 1
    torch.testing.assert_close(network(images, [64])[64][3:4], network(images[3:4], [64])[64], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [8, 64, 299, 400])
def test_resize_filters_equal_pytorch_fid_and_pillow(side, small_weights):
    images = pixels(3, side)
    levels = images.float() / 127.5 - 1

    def features(resize, of):
        return Inception(small_weights, resize)(of, [64])[64]

    def pillow(kind):
        planes = [
            [np.asarray(Image.fromarray(plane, mode="F").resize((299, 299), kind)) for plane in image]
            for image in images.float().numpy()
        ]
        return (torch.tensor(np.array(planes)) / 127.5 - 1).clamp(-1, 1)

    plain = torch.nn.functional.interpolate(levels, size=(299, 299), mode="bilinear", align_corners=False)
    expected = {
        "bilinear": plain,
        "bilinear-antialias": pillow(Image.Resampling.BILINEAR),
        "bicubic-antialias": pillow(Image.Resampling.BICUBIC),
    }
    # At 299 pixels every filter is the identity.
    found = {resize: features(resize, levels) for resize in expected}
    for resize, images_299 in expected.items():
        torch.testing.assert_close(found[resize], features("bilinear", images_299), rtol=1e-4, atol=1e-4)
    if side == 400:
        assert not torch.allclose(found["bilinear"], found["bilinear-antialias"], rtol=1e-3)


def bad_files(folder, tensors):
    (folder / "text.pth").write_text("hello")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "folder.pth").mkdir()
    torch.save([torch.zeros(3)], folder / "list.pth")
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, folder / "part.pth")
    torch.save({"fc.weight": torch.zeros(10, 10)}, folder / "other.pth")
    torch.save({**tensors, "Conv2d_2a_3x3.conv.weight": torch.zeros(32, 32, 1, 1)}, folder / "shape.pth")
    torch.save({**tensors, "Conv2d_2a_3x3.bn.bias": "bias"}, folder / "word.pth")
    torch.save(torch.nn.Linear(2, 2), folder / "pickled.pth")
    (folder / "cut.pth").write_bytes((folder / "shape.pth").read_bytes()[:1000])


def test_invalid_weights_are_refused(small_weights, tmp_path):
    bad_files(tmp_path, torch.load(small_weights))
    for name, words in {
        "nothing": "No such file",
        "text": "cannot be read as Inception weights",
        "empty": "cannot be read",
        "folder": "Is a directory",
        "list": "holds a list",
        "part": "lacks Inception tensors, such as 'Conv2d_1a_3x3.bn.weight'",
        "other": "lacks Inception tensors, such as 'Conv2d_1a_3x3.conv.weight'",
        "shape": r"'Conv2d_2a_3x3.conv.weight' is \(32, 32, 1, 1\), not \(32, 32, 3, 3\)",
        "word": "'Conv2d_2a_3x3.bn.bias' is str",
        "pickled": "cannot be read as Inception weights",
        "cut": "cannot be read as Inception weights",
    }.items():
        with pytest.raises(DataError, match=words) as error:
            Inception(tmp_path / f"{name}.pth")
        assert str(tmp_path / name) in str(error.value)
        assert "--fid-weights" in str(error.value)
        assert "\n" not in str(error.value)


def test_torchvisions_own_inception_is_refused(whole_weights, tmp_path):
    """Its layers have the same names but other weights, with which a distance is no FID."""
    tensors = torch.load(whole_weights)
    torch.save({**tensors, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "tv.pth")
    with pytest.raises(DataError, match=r"\(1000, 2048\), not \(1008, 2048\).*not the FID's"):
        Inception(tmp_path / "tv.pth")


def test_features_that_are_not_finite_are_refused(small_weights, tmp_path):
    tensors = torch.load(small_weights)
    tensors["Conv2d_2b_3x3.conv.weight"][3] = float("nan")
    torch.save(tensors, tmp_path / "nan.pth")
    extractor = FeatureExtractor(Inception(tmp_path / "nan.pth"), 64, False, torch.device("cpu"), progress=False)
    with pytest.raises(DataError, match="not finite"):
        extractor.extract(np.zeros((2, 16, 16, 3), np.uint8))
