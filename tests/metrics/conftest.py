"""Weights files of random numbers, which end after any layer, and torch-fidelity's own network on the whole one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as theirs

from qgan_qiskit.metrics import inception

OUTPUTS = ("64", "192", "768", "2048", "logits_unbiased")
# The first name of the layers that come behind each feature layer.
BEHIND = {64: "Conv2d_3b", 192: "Mixed_5b", 768: "Mixed_7a", 2048: "fc"}


@pytest.fixture(scope="session")
def whole_weights(tmp_path_factory) -> Path:
    """A file with every layer of the network."""
    generator = torch.Generator().manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # Only for the names and shapes: without weights it would download them.
        patch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr(theirs.torch, "load", lambda *_, **__: {})
        tensors = theirs.FeatureExtractorInceptionV3("x", list(OUTPUTS), "none").state_dict()
    for name, value in tensors.items():
        if name.endswith("conv.weight"):
            value.normal_(0, math.sqrt(2 / value[0].numel()), generator=generator)
        elif name.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point():
            value.normal_(0, 0.1, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "whole.pth"
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="session")
def weights_up_to(whole_weights, tmp_path_factory):
    """Return a function: feature layer -> a file that ends there."""

    def make(layer: int) -> Path:
        tensors = torch.load(whole_weights)
        names = list(tensors)
        end = next(index for index, name in enumerate(names) if name.startswith(BEHIND[layer]))
        path = tmp_path_factory.mktemp("weights") / f"up_to_{layer}.pth"
        torch.save({name: tensors[name].clone() for name in names[:end]}, path)
        return path

    return make


@pytest.fixture(scope="session")
def small_weights(weights_up_to) -> Path:
    """A file that ends at feature layer 64: quick."""
    return weights_up_to(64)


@pytest.fixture(scope="session")
def their_network(whole_weights):
    """Return torch-fidelity's network on the same weights."""
    return theirs.FeatureExtractorInceptionV3("x", list(OUTPUTS), str(whole_weights))


@pytest.fixture
def small_inception(monkeypatch):
    """Run the network on 79 pixels a side instead of 299, to be quick; test_inception.py has the full size."""
    monkeypatch.setattr(inception, "_SIDE", 79)
