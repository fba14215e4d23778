"""The Inception network of the FID, from a weights file that the user names, up to its 768-d tap.

Same arithmetic as the network of the original FID code (Heusel et al. 2017): torchvision's blocks, but average pools that do
not count their padding.

Shape letters: N images · C H W image · F features.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d
from torchvision.models import inception

from qgan_qiskit.errors import DataError


class _InceptionA(inception.InceptionA):
    def _forward(self, x: Tensor) -> list[Tensor]:
        pooled = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(pooled),
        ]


class _InceptionC(inception.InceptionC):
    def _forward(self, x: Tensor) -> list[Tensor]:
        pooled = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        seven_by_seven = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(seven_by_seven)),
            self.branch_pool(pooled),
        ]


class Inception768(nn.Module):
    """Images to the 768 averaged features behind Mixed_6e.

    Attributes:
        digest: SHA-256 of the weights file, hexadecimal.
    """

    def __init__(self, weights: str | Path) -> None:
        """Read the weights.

        Args:
            weights: a file with the names of torchvision and pytorch-fid; layers behind Mixed_6e are not needed.

        Raises:
            DataError: the file is missing, not a tensor file, or lacks a layer.
        """
        super().__init__()
        conv = inception.BasicConv2d
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.Mixed_5b = _InceptionA(192, pool_features=32)
        self.Mixed_5c = _InceptionA(256, pool_features=64)
        self.Mixed_5d = _InceptionA(288, pool_features=64)
        self.Mixed_6a = inception.InceptionB(288)
        self.Mixed_6b = _InceptionC(768, channels_7x7=128)
        self.Mixed_6c = _InceptionC(768, channels_7x7=160)
        self.Mixed_6d = _InceptionC(768, channels_7x7=160)
        self.Mixed_6e = _InceptionC(768, channels_7x7=192)
        self.digest = self._load(Path(weights))
        self.eval().requires_grad_(False)

    def _load(self, path: Path) -> str:
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except Exception as error:
            # torch raises whatever the bytes make its unpickler stumble over: KeyError, EOFError, UnpicklingError, ….
            raise DataError(
                f"{path}: cannot be read as Inception weights ({type(error).__name__}); name another file"
            ) from None
        wanted = self.state_dict()
        missing = [n for n in wanted if not n.endswith("num_batches_tracked") and n not in tensors]
        if missing:
            raise DataError(
                f"{path}: lacks {len(missing)} Inception tensors, such as '{missing[0]}'; name another file"
            )
        self.load_state_dict({name: tensors.get(name, value) for name, value in wanted.items()})
        return digest

    @torch.no_grad()
    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features (N, 768), float32, of images in [-1, 1] of any size (resized bilinearly to 299x299)."""
        x = interpolate(images_NCHW, size=(299, 299), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(x, 3, stride=2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(max_pool2d(x, 3, stride=2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return x.mean(dim=(2, 3))
