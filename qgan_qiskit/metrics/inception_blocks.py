"""The blocks of the FID's Inception network where they differ from torchvision's: in how they pool.

The network of the original FID code (Heusel et al. 2017) is TensorFlow's of December 2015. Its average pools do not count
their padding, and its last block pools by the maximum.

Shape letters: B batch · C channels · H W height and width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d
from torchvision.models import inception


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
