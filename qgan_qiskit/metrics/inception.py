"""The Inception network of the FID, from a weights file that the user names; a file that ends early gives the layers it holds.

Same arithmetic as the original FID code (Heusel et al. 2017), pytorch-fid and torch-fidelity: TensorFlow's network of
December 2015, whose average pools exclude their padding and whose last block uses maximum pooling. Layers are named as in
torchvision and pytorch-fid.

Shape letters: N images · B batch · C H W image · F features.
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

Output = Literal[64, 192, 768, 2048, "logits"]
Resize = Literal["bilinear", "bilinear-antialias", "bicubic-antialias"]

FEATURE_LAYERS: tuple[Output, ...] = (64, 192, 768, 2048)
OFFICIAL = "pt_inception-2015-12-05-6726825d.pth"
_SIDE = 299
_average_pool = partial(avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)


class BlockA(inception.InceptionA):
    """Mixed_5b to Mixed_5d."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_average_pool(x)),
        ]


class BlockC(inception.InceptionC):
    """Mixed_6b to Mixed_6e."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(_average_pool(x)),
        ]


class BlockE(inception.InceptionE):
    """Mixed_7b."""

    _pool = staticmethod(_average_pool)

    def _forward(self, x: Tensor) -> list[Tensor]:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            *(self.branch3x3_2a(single), self.branch3x3_2b(single)),
            *(self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)),
            self.branch_pool(self._pool(x)),
        ]


class MaxPoolBlockE(BlockE):
    """Mixed_7c."""

    _pool = staticmethod(partial(max_pool2d, kernel_size=3, stride=1, padding=1))


# The modules up to each output, after those of the previous one.
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
        "Mixed_7c": partial(MaxPoolBlockE, 2048),
    },
    "logits": {"fc": partial(nn.Linear, 2048, 1008)},
}


class Inception(nn.Module):
    """Maps images to pooled features at Inception's feature layers, and to class logits.

    Attributes:
        feature_layers: widths of the layers that the file holds, ascending; at least one.
        has_logits: whether the file holds the class layer, which the inception score needs.
        limitation: a sentence on what the file lacks; empty if it is complete.
        digest: SHA-256 of the weights file, hexadecimal.
    """

    def __init__(self, weights: str | Path, resize: Resize = "bilinear") -> None:
        """Read the weights.

        Args:
            weights: a file with the names of torchvision and pytorch-fid; it may end after any feature layer.
            resize: filter that brings images to 299x299: torch's bilinear one without antialiasing, as in pytorch-fid, or
                one with antialiasing (bicubic: that of Pillow and clean-fid).

        Raises:
            DataError: the file is missing, not a tensor file, of another network, or lacks the first feature layer.
        """
        super().__init__()
        self.path, self.resize = Path(weights), resize
        tensors, self.digest = _read_tensors(self.path)
        missing = self._build_stages(tensors)
        self.feature_layers = tuple(
            layer for layer in FEATURE_LAYERS if all(hasattr(self, name) for name in _STAGES[layer])
        )
        self.has_logits = hasattr(self, "fc")
        if not self.feature_layers:
            raise DataError(f"{weights}: lacks Inception tensors, such as '{missing}'; name another --fid-weights")
        self.limitation = ""
        if missing:
            self.limitation = f"{self.path.name} ends at feature layer {self.feature_layers[-1]}: it has no '{missing}'"
        self._load(tensors)
        self.eval().requires_grad_(False)

    def _build_stages(self, tensors: dict[str, Any]) -> str:
        """Add the modules whose tensors are all there, and return the first missing name; empty if there is none."""
        # On the meta device: initial weights would cost time and draw from torch's global generator.
        with torch.device("meta"):
            for modules in _STAGES.values():
                stage = nn.ModuleDict({name: make() for name, make in modules.items()})
                for name in stage.state_dict():
                    if name not in tensors and not name.endswith("num_batches_tracked"):
                        return name
                for name, module in stage.items():
                    self.add_module(name, module)
        return ""

    def _load(self, tensors: dict[str, Any]) -> None:
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
        # Twice as fast as the default layout on a CPU.
        self.to(memory_format=torch.channels_last)

    def require_outputs(self, outputs: Collection[Output]) -> None:
        """Refuse outputs that the file cannot give.

        Raises:
            DataError: the file lacks one of them; the message says what it holds.
        """
        for output in outputs:
            if output not in self.feature_layers and not (output == "logits" and self.has_logits):
                lacking = "class logits (for the inception score)" if output == "logits" else f"feature layer {output}"
                held = ", ".join(str(layer) for layer in self.feature_layers)
                raise DataError(
                    f"{self.path}: has no {lacking}, only feature layers {held}; name a complete --fid-weights "
                    f"such as {OFFICIAL}"
                )

    @torch.no_grad()
    def forward(self, images_NCHW: Tensor, outputs: Collection[Output]) -> dict[Output, Tensor]:
        """Return features (N, F), and logits (N, 1008) without bias as the inception score uses them; float32.

        Args:
            images_NCHW: RGB in [-1, 1], of any size.
            outputs: feature layers, ``"logits"``, or several of these; later layers are not run.

        Raises:
            DataError: the file lacks one of them.
        """
        self.require_outputs(outputs)
        # "bicubic-antialias" is a mode and a flag.
        mode, _, antialias = self.resize.partition("-")
        x = interpolate(images_NCHW, (_SIDE, _SIDE), mode=mode, align_corners=False, antialias=bool(antialias))
        # Bicubic filters overshoot.
        x = x.clamp(-1, 1).contiguous(memory_format=torch.channels_last)
        found: dict[Output, Tensor] = {}
        for output, modules in _STAGES.items():
            if output == "logits":
                found[output] = found[2048] @ self.get_parameter("fc.weight").T
            else:
                for name in modules:
                    x = self.get_submodule(name)(x)
                if output in (64, 192):
                    x = max_pool2d(x, 3, stride=2)
                found[output] = x.mean(dim=(2, 3))
            if all(name in found for name in outputs):
                break
        return {name: found[name] for name in outputs}


def _read_tensors(path: Path) -> tuple[dict[str, Any], str]:
    """Return the named tensors of a file and its SHA-256."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name another --fid-weights") from None
    try:
        tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        # Depending on the bytes, torch raises KeyError, EOFError, UnpicklingError and others.
        raise DataError(
            f"{path}: cannot be read as Inception weights ({type(error).__name__}); name another --fid-weights"
        ) from None
    if not isinstance(tensors, dict):
        raise DataError(f"{path}: holds a {type(tensors).__name__}, not named tensors; name another --fid-weights")
    return tensors, hashlib.sha256(data).hexdigest()
