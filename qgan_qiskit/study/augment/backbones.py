"""The classifiers: torchvision's ResNet-50 and MobileNetV2 with a new head, from a weights file or from scratch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet50

from qgan_qiskit.config.augment import AugmentConfig
from qgan_qiskit.errors import DataError
from qgan_qiskit.study.augment.folded import folded_layers
from qgan_qiskit.study.augment.randomness import global_randomness

# A weights file of these names is for ImageNet's classes: the last layer is always ours.
HEADS = {"resnet50": "fc", "mobilenet_v2": "classifier.1"}
_BUILDERS: dict[str, Callable[..., nn.Module]] = {"resnet50": resnet50, "mobilenet_v2": mobilenet_v2}


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


def build_classifier(config: AugmentConfig, classes: int, seed: int) -> tuple[nn.Module, Start]:
    """Return a classifier of images (N, 3, H, W) to logits (N, classes), and where it starts from.

    Args:
        config: ``backbone``, ``weights`` and ``resnet_stride`` apply.
        classes: number of classes.
        seed: of what starts from scratch; equal seeds start equally.

    Raises:
        DataError: the weights file is missing, unreadable, or not of this backbone.
    """
    with global_randomness(seed, torch.device("cpu")):
        network = _BUILDERS[config.backbone](weights=None, num_classes=classes)
    if config.resnet_stride == "conv1":
        _move_strides(network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if config.weights is None:
        return network, Start(config.backbone, parameters, None, None, ("all layers",))
    path = Path(config.weights)
    from_scratch, digest = load_weights(network, path, config.backbone)
    folded = tuple(folded_layers(network, from_scratch))
    return network, Start(config.backbone, parameters, path.name, digest, from_scratch, folded)


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
