"""torchvision's ResNets and MobileNetV2 with a new head, from a weights file or from scratch.

Weights of quantized networks have batch norm folded into the convolutions: such a layer is the identity plus a bias in the file.
Trained as it is, it would discard its input's mean and scale, and with them what the convolution has learned. So the two are
measured once and written into the layer: the network computes what it did before, and batch norm normalizes again.

Shape letters: N images · F features · H W height and width of a layer.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from qgan_qiskit.errors import DataError

# The classification layer of each network, which is always ours: a weights file has one for ImageNet's classes.
HEADS = {"resnet18": "fc", "resnet50": "fc", "mobilenet_v2": "classifier.1"}
# F, the size of the features that the head gets.
FEATURE_SIZES = {"resnet18": 512, "resnet50": 2048, "mobilenet_v2": 1280}
# What torchvision's own weights expect of pixels from 0 to 1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class WeightsOrigin:
    """Where a network's weights come from.

    Attributes:
        backbone: name of the network.
        parameters: how many it has.
        weights: name of the weights file, None without one.
        digest: SHA-256 of the file, hexadecimal.
        from_scratch: layers that the file does not have, the new head among them.
        folded: batch norms that are folded into the convolutions in the file.
    """

    backbone: str
    parameters: int
    weights: str | None
    digest: str | None
    from_scratch: tuple[str, ...]
    folded: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; of the folded layers only their number."""
        return {**asdict(self), "folded": len(self.folded)}


def build_backbone(
    backbone: str, classes: int, weights: str | None, resnet_stride: str = "conv2"
) -> tuple[nn.Module, WeightsOrigin]:
    """Return a network of images (N, 3, H, W) to logits (N, classes), and the origin of its weights.

    Fresh layers draw from torch's global random numbers: seed them before the call.

    Args:
        backbone: a key of ``HEADS``.
        classes: outputs of the new head.
        weights: file to start from; None for scratch.
        resnet_stride: which convolution halves the image in a ResNet-50's layers 2 to 4: ``conv2`` (torchvision) or ``conv1``
            (the original one, He et al. 2015).

    Raises:
        DataError: the weights file is missing, unreadable, or not of this backbone.
    """
    network = get_model(backbone, weights=None, num_classes=classes)
    if resnet_stride == "conv1":
        _move_strides(network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if weights is None:
        return network, WeightsOrigin(backbone, parameters, None, None, ("all layers",))
    path = Path(weights)
    from_scratch, digest = load_weights(network, path, backbone)
    folded = tuple(find_folded_batch_norms(network, from_scratch))
    return network, WeightsOrigin(backbone, parameters, path.name, digest, from_scratch, folded)


def remove_head(network: nn.Module, backbone: str) -> nn.Module:
    """Return the network of images (N, 3, H, W) to pooled features (N, F), changed in place."""
    parent, _, last = HEADS[backbone].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    return network


def load_weights(network: nn.Module, path: Path, backbone: str) -> tuple[tuple[str, ...], str]:
    """Load the layers that a file of weights has, except for the head, into a network.

    The file is a dictionary of tensors with torchvision's names, saved by torch; nothing else is loaded from it.

    Returns:
        The layers that keep their random weights, and the file's SHA-256.

    Raises:
        DataError: the file is missing, unreadable, or holds tensors of another name or shape than the network's.
    """
    tensors, digest = _read_tensors(path, backbone)
    wanted = network.state_dict()
    unknown = [name for name in tensors if name not in wanted]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of its {len(tensors)} tensors, such as '{unknown[0]}', are not those of "
            f"torchvision's {backbone}; name another file, or another --backbone"
        )
    head = HEADS[backbone] + "."
    body = {name: tensor for name, tensor in tensors.items() if not name.startswith(head)}
    for name, tensor in body.items():
        if tensor.shape != wanted[name].shape:
            raise DataError(
                f"{path}: '{name}' has the shape {tuple(tensor.shape)}, in {backbone} it has {tuple(wanted[name].shape)}; "
                "name another file"
            )
    if not body:
        raise DataError(f"{path}: holds no layer of {backbone} but the head, which is not used; name another file")
    # Batch counts have no effect at torch's default momentum, and some files lack them.
    missing = {name for name in wanted if name not in body and not name.endswith("num_batches_tracked")}
    network.load_state_dict({**wanted, **body})
    return tuple(_missing_layers(network, missing)), digest


def _read_tensors(path: Path, backbone: str) -> tuple[dict[str, Tensor], str]:
    try:
        content = path.read_bytes()
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"--weights {path}: cannot be read ({error.strerror or error}); name another file") from None
    except Exception as error:
        # torch's unpickler raises anything on damaged bytes: KeyError, EOFError, UnpicklingError, ….
        raise DataError(
            f"--weights {path}: cannot be read as weights ({type(error).__name__}); name another file"
        ) from None
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise DataError(f"--weights {path}: not a dictionary of tensors; save the state_dict of a {backbone}")
    return {str(name): tensor for name, tensor in tensors.items()}, hashlib.sha256(content).hexdigest()


def _missing_layers(module: nn.Module, missing: set[str], prefix: str = "") -> list[str]:
    """Return the largest layers of which every tensor is missing, and the smallest of which some are."""
    found = []
    for name, child in module.named_children():
        inside = f"{prefix}{name}."
        here = {f"{inside}{tensor}" for tensor in child.state_dict() if not tensor.endswith("num_batches_tracked")}
        if here and here <= missing:
            found.append(f"{prefix}{name}")
        elif here & missing and not list(child.children()):
            found.append(f"{prefix}{name} (in part)")
        elif here & missing:
            found += _missing_layers(child, missing, inside)
    return found


def _move_strides(network: nn.Module) -> None:
    """Make torchvision's ResNet the original one (He et al. 2015): its first 1x1 convolutions halve the image."""
    for layer in ("layer2", "layer3", "layer4"):
        block = network.get_submodule(f"{layer}.0")
        block.get_submodule("conv1").stride, block.get_submodule("conv2").stride = (2, 2), (1, 1)  # type: ignore[assignment]


def find_folded_batch_norms(network: nn.Module, from_scratch: Sequence[str] = ()) -> list[str]:
    """Return the names of the batch norms that are identity plus bias; layers from scratch have biases of 0 and do not count."""
    return [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d)
        and not any(f"{name}.".startswith(f"{fresh}.") for fresh in from_scratch)
        and _is_folded(layer)
    ]


@torch.no_grad()
def unfold_batch_norms(network: nn.Module, names: Sequence[str], prepared_NCHW: Tensor) -> None:
    """Write mean and variance of each layer's input into it, and adjust scale and bias so that it computes the same.

    The network is changed in place and left in evaluation mode.

    Args:
        network: with its weights.
        names: from :func:`find_folded_batch_norms`.
        prepared_NCHW: training images as the network gets them; a few hundred are enough.
    """
    layers = [network.get_submodule(name) for name in names]
    measured: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def measure(layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        variance_F, mean_F = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        measured[layer] = mean_F, variance_F

    hooks = [layer.register_forward_hook(measure) for layer in layers]
    network.eval()
    network(prepared_NCHW)
    for hook in hooks:
        hook.remove()
    for layer, (mean_F, variance_F) in measured.items():
        assert isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None
        slope_F = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        layer.bias.add_(slope_F * (mean_F - layer.running_mean))
        layer.weight.copy_(slope_F * torch.sqrt(variance_F + layer.eps))
        layer.running_mean.copy_(mean_F)
        layer.running_var.copy_(variance_F)


def _is_folded(layer: nn.BatchNorm2d) -> bool:
    statistics = layer.running_mean, layer.running_var
    if statistics[0] is None or statistics[1] is None:
        return False
    same = functools.partial(torch.allclose, atol=0.01)
    one_F = torch.ones_like(layer.weight)
    return bool(
        same(layer.weight, one_F)
        and same(statistics[1], one_F)
        and same(statistics[0], 0 * one_F)
        and torch.any(layer.bias != 0)
    )
