"""torchvision's ResNets and MobileNetV2 with a new head, from a weights file or from scratch.

Shape letters: N images · F features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18, resnet50

from qgan_qiskit.errors import DataError
from qgan_qiskit.models.layers import folded_layers

# A weights file of these names is for ImageNet's classes: the last layer is always ours.
HEADS = {"resnet18": "fc", "resnet50": "fc", "mobilenet_v2": "classifier.1"}
# Width of what the head is given.
WIDTHS = {"resnet18": 512, "resnet50": 2048, "mobilenet_v2": 1280}
_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
}


@dataclass(frozen=True)
class Start:
    """Where a classifier's weights come from.

    Attributes:
        backbone: its name.
        parameters: how many it has.
        weights: name of the weights file, None without one.
        digest: SHA-256 of the file, hexadecimal.
        from_scratch: layers that the file does not hold, the new head among them.
        folded: batch norms that the file has worked into the convolutions (``folded.py``).
    """

    backbone: str
    parameters: int
    weights: str | None
    digest: str | None
    from_scratch: tuple[str, ...]
    folded: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON; of the folded layers their number."""
        return {**asdict(self), "folded": len(self.folded)}


def build_backbone(
    backbone: str, classes: int, weights: str | None, resnet_stride: str = "conv2"
) -> tuple[nn.Module, Start]:
    """Return a network of images (N, 3, H, W) to logits (N, classes), and where it starts from.

    Fresh layers draw from torch's global random numbers: seed them around the call.

    Args:
        backbone: a key of ``HEADS``.
        classes: outputs of the new head.
        weights: file to start from; None for scratch.
        resnet_stride: which convolution halves the image in a ResNet-50's layers 2 to 4: ``conv2`` (torchvision) or ``conv1``
            (the original one, He et al. 2015).

    Raises:
        DataError: the weights file is missing, unreadable, or not of this backbone.
    """
    network = _BUILDERS[backbone](weights=None, num_classes=classes)
    if resnet_stride == "conv1":
        _move_strides(network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if weights is None:
        return network, Start(backbone, parameters, None, None, ("all layers",))
    path = Path(weights)
    from_scratch, digest = load_weights(network, path, backbone)
    folded = tuple(folded_layers(network, from_scratch))
    return network, Start(backbone, parameters, path.name, digest, from_scratch, folded)


def without_head(network: nn.Module, backbone: str) -> nn.Module:
    """Return the network of images (N, 3, H, W) to pooled features (N, F), changed in place."""
    parent, _, last = HEADS[backbone].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    return network


def load_weights(network: nn.Module, path: Path, backbone: str) -> tuple[tuple[str, ...], str]:
    """Load a file of weights as far as it goes, except for the head.

    Args:
        network: receives the weights.
        path: a dictionary of tensors with torchvision's names, saved by torch; nothing else is loaded from it.
        backbone: a key of ``HEADS``.

    Returns:
        The layers that keep their random start, and the file's SHA-256.

    Raises:
        DataError: the file is missing, unreadable, or holds tensors of another name or shape than the network's.
    """
    tensors, digest = _read(path, backbone)
    wanted = network.state_dict()
    strangers = [name for name in tensors if name not in wanted]
    if strangers:
        raise DataError(
            f"{path}: {len(strangers)} of its {len(tensors)} tensors, such as '{strangers[0]}', are not those of "
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
    # Counts of batches change nothing at torch's default momentum, and some files leave them out.
    missing = {name for name in wanted if name not in body and not name.endswith("num_batches_tracked")}
    network.load_state_dict({**wanted, **body})
    return tuple(_layers(network, missing)), digest


def _read(path: Path, backbone: str) -> tuple[dict[str, Tensor], str]:
    try:
        content = path.read_bytes()
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"--weights {path}: cannot be read ({error.strerror or error}); name another file") from None
    except Exception as error:
        # torch raises whatever the bytes make its unpickler stumble over: KeyError, EOFError, UnpicklingError, ….
        raise DataError(
            f"--weights {path}: cannot be read as weights ({type(error).__name__}); name another file"
        ) from None
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise DataError(f"--weights {path}: not a dictionary of tensors; save the state_dict of a {backbone}")
    return {str(name): tensor for name, tensor in tensors.items()}, hashlib.sha256(content).hexdigest()


def _layers(module: nn.Module, missing: set[str], prefix: str = "") -> list[str]:
    """Return the largest layers of which every tensor is missing; a layer that is there in part is looked into."""
    found = []
    for name, child in module.named_children():
        inside = f"{prefix}{name}."
        here = {f"{inside}{tensor}" for tensor in child.state_dict() if not tensor.endswith("num_batches_tracked")}
        if here and here <= missing:
            found.append(f"{prefix}{name}")
        elif here & missing and not list(child.children()):
            found.append(f"{prefix}{name} (in part)")
        elif here & missing:
            found += _layers(child, missing, inside)
    return found


def _move_strides(network: nn.Module) -> None:
    """Make torchvision's ResNet the original one (He et al. 2015): its first 1x1 convolutions halve the image."""
    for layer in ("layer2", "layer3", "layer4"):
        block = network.get_submodule(f"{layer}.0")
        block.get_submodule("conv1").stride, block.get_submodule("conv2").stride = (2, 2), (1, 1)  # type: ignore[assignment]
