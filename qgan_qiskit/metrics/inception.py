"""The blocks of the FID's Inception network where they differ from torchvision's: in how they pool.

The network of the original FID code (Heusel et al. 2017) is TensorFlow's of December 2015. Its average pools do not count
their padding, and its last block pools by the maximum.

Shape letters: B batch · C channels · H W height and width.

The Inception network of the FID, from a weights file that the user names, as far as the file goes.

Same arithmetic as the network of the original FID code (Heusel et al. 2017), of pytorch-fid and of torch-fidelity. Layers
are named as in torchvision and pytorch-fid.

Shape letters: N images · C H W image · F features · K classes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d
from torchvision.models import inception
from torchvision.models.inception import BasicConv2d, InceptionB, InceptionD

from qgan_qiskit.errors import DataError


def _average(x_BCHW: Tensor) -> Tensor:
    return avg_pool2d(x_BCHW, 3, stride=1, padding=1, count_include_pad=False)


class BlockA(inception.InceptionA):
    """Mixed_5b to Mixed_5d."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_average(x)),
        ]


class BlockC(inception.InceptionC):
    """Mixed_6b to Mixed_6e."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        seven_by_seven = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(seven_by_seven)),
            self.branch_pool(_average(x)),
        ]


class BlockE(inception.InceptionE):
    """Mixed_7b, with an average pool; Mixed_7c, with a maximum pool, is :class:`LastBlockE`."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self._pool(x)),
        ]

    def _pool(self, x_BCHW: Tensor) -> Tensor:
        return _average(x_BCHW)


class LastBlockE(BlockE):
    """Mixed_7c."""

    def _pool(self, x_BCHW: Tensor) -> Tensor:
        return max_pool2d(x_BCHW, 3, stride=1, padding=1)


Output = Literal[64, 192, 768, 2048, "logits"]
Resize = Literal["bilinear", "bilinear-antialias", "bicubic-antialias"]

FEATURE_LAYERS: tuple[Output, ...] = (64, 192, 768, 2048)
OFFICIAL = "pt_inception-2015-12-05-6726825d.pth"
_SIDE = 299
# The layers up to each tap, behind those of the tap before.
_STAGES: dict[Output, dict[str, Callable[[], nn.Module]]] = {
    64: {
        "Conv2d_1a_3x3": partial(BasicConv2d, 3, 32, kernel_size=3, stride=2),
        "Conv2d_2a_3x3": partial(BasicConv2d, 32, 32, kernel_size=3),
        "Conv2d_2b_3x3": partial(BasicConv2d, 32, 64, kernel_size=3, padding=1),
    },
    192: {
        "Conv2d_3b_1x1": partial(BasicConv2d, 64, 80, kernel_size=1),
        "Conv2d_4a_3x3": partial(BasicConv2d, 80, 192, kernel_size=3),
    },
    768: {
        "Mixed_5b": partial(BlockA, 192, pool_features=32),
        "Mixed_5c": partial(BlockA, 256, pool_features=64),
        "Mixed_5d": partial(BlockA, 288, pool_features=64),
        "Mixed_6a": partial(InceptionB, 288),
        "Mixed_6b": partial(BlockC, 768, channels_7x7=128),
        "Mixed_6c": partial(BlockC, 768, channels_7x7=160),
        "Mixed_6d": partial(BlockC, 768, channels_7x7=160),
        "Mixed_6e": partial(BlockC, 768, channels_7x7=192),
    },
    2048: {
        "Mixed_7a": partial(InceptionD, 768),
        "Mixed_7b": partial(BlockE, 1280),
        "Mixed_7c": partial(LastBlockE, 2048),
    },
    "logits": {"fc": partial(nn.Linear, 2048, 1008)},
}


class Inception(nn.Module):
    """Images to averaged features at Inception's taps, and to class logits.

    Attributes:
        taps: widths of the taps that the file holds, rising; at least one.
        has_logits: whether it holds the class layer, which the inception score needs.
        lacks: a sentence on what the file does not hold; empty when it is whole.
        digest: SHA-256 of the weights file, hexadecimal.
    """

    def __init__(self, weights: str | Path, resize: Resize = "bilinear") -> None:
        """Read the weights.

        Args:
            weights: a file with the names of torchvision and pytorch-fid; it may end after any tap.
            resize: filter that brings images to 299x299: torch's bilinear one without antialiasing, as in pytorch-fid, or
                one with antialiasing (bicubic: that of Pillow and clean-fid).

        Raises:
            DataError: the file is missing, not a tensor file, of another network, or lacks the first tap.
        """
        super().__init__()
        self.path, self.resize = Path(weights), resize
        tensors, self.digest = _read(self.path)
        missing = ""
        # Without storage first: initial weights would cost time and draw from torch's global generator.
        with torch.device("meta"):
            for layers in _STAGES.values():
                stage = nn.ModuleDict({name: make() for name, make in layers.items()})
                missing = next((name for name in _wanted(stage) if name not in tensors), "")
                if missing:
                    break
                for name, layer in stage.items():
                    self.add_module(name, layer)
        self.taps = tuple(tap for tap in FEATURE_LAYERS if all(hasattr(self, name) for name in _STAGES[tap]))
        self.has_logits = hasattr(self, "fc")
        if not self.taps:
            raise DataError(f"{weights}: lacks Inception tensors, such as '{missing}'; name another --fid-weights")
        self.lacks = ""
        if missing:
            self.lacks = f"{self.path.name} ends at the {self.taps[-1]}-d tap: it has no '{missing}'"
        self._fill(tensors)
        self.eval().requires_grad_(False)

    def _fill(self, tensors: dict[str, Tensor]) -> None:
        values = {}
        for name, parameter in self.state_dict().items():
            value = tensors.get(name, torch.tensor(0))
            if not isinstance(value, Tensor) or value.shape != parameter.shape:
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise DataError(
                    f"{self.path}: '{name}' is {shape}, not {tuple(parameter.shape)}: these are not the FID's Inception "
                    f"weights; name another --fid-weights, such as {OFFICIAL}"
                )
            values[name] = value.to(parameter.dtype)
        self.load_state_dict(values, assign=True)
        # Half the time of the other layout on a processor.
        self.to(memory_format=torch.channels_last)

    def check(self, outputs: Collection[Output]) -> None:
        """Refuse outputs that the file cannot give.

        Raises:
            DataError: the file lacks one of them; the message says what it holds.
        """
        for output in outputs:
            if output not in self.taps and not (output == "logits" and self.has_logits):
                wanted = "class logits (for the inception score)" if output == "logits" else f"{output}-d tap"
                held = ", ".join(str(tap) for tap in self.taps)
                raise DataError(
                    f"{self.path}: has no {wanted}, only taps {held}; name a whole --fid-weights such as {OFFICIAL}"
                )

    @torch.no_grad()
    def forward(self, images_NCHW: Tensor, outputs: Collection[Output]) -> dict[Output, Tensor]:
        """Return features (N, F), and logits (N, 1008) without their bias as the inception score takes them; float32.

        Args:
            images_NCHW: RGB in [-1, 1], of any size.
            outputs: taps, ``"logits"``, or several of these; layers behind the last are not run.

        Raises:
            DataError: the file lacks one of them.
        """
        self.check(outputs)
        # "bicubic-antialias" is a mode and a flag.
        mode, _, antialias = self.resize.partition("-")
        x = interpolate(images_NCHW, (_SIDE, _SIDE), mode=mode, align_corners=False, antialias=bool(antialias))
        # Bicubic filters overshoot.
        x = x.clamp(-1, 1).contiguous(memory_format=torch.channels_last)
        found: dict[Output, Tensor] = {}
        for output, layers in _STAGES.items():
            if output == "logits":
                found[output] = found[2048] @ self.get_parameter("fc.weight").T
            else:
                for name in layers:
                    x = self.get_submodule(name)(x)
                if output in (64, 192):
                    x = max_pool2d(x, 3, stride=2)
                found[output] = x.mean(dim=(2, 3))
            if all(wanted in found for wanted in outputs):
                break
        return {wanted: found[wanted] for wanted in outputs}


def _wanted(stage: nn.Module) -> list[str]:
    """Return the tensors that a file must hold for some layers, by name."""
    return [name for name in stage.state_dict() if not name.endswith("num_batches_tracked")]


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name another --fid-weights") from None
    try:
        tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises whatever the bytes make its unpickler stumble over: KeyError, EOFError, UnpicklingError, ….
        raise DataError(
            f"{path}: cannot be read as Inception weights ({type(error).__name__}); name another --fid-weights"
        ) from None
    if not isinstance(tensors, dict):
        raise DataError(f"{path}: holds a {type(tensors).__name__}, not named tensors; name another --fid-weights")
    return tensors, hashlib.sha256(data).hexdigest()
