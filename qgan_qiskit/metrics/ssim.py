"""Structural similarity: of each generated image to its nearest real one, and between images of one set.

Shape letters: N images · H W C image · B images of a block.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

# Wang et al. 2003, table in section 3: the exponents of five scales.
_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_BLOCK = 16


def scales(side: int) -> int:
    """Return how many of the five scales an image of so many pixels a side has room for: 2 at 28, 3 at 64, 5 at 256, 0 at 8."""
    # torchmetrics' own condition, and that the smallest scale can be mirrored at its edges by half a window.
    fitting = [
        count
        for count in range(1, len(_BETAS) + 1)
        if side // max(1, count - 1) ** 2 >= _WINDOW and side >> (count - 1) > _WINDOW // 2
    ]
    return max(fitting, default=0)


def ssim(first_NHWC: np.ndarray, second_NHWC: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each pair of images (Wang et al. 2004), float64 (N,), -1 to 1.

    Args:
        first_NHWC: uint8.
        second_NHWC: uint8, of the same shape.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    return _pairwise(
        lambda a, b: torch.as_tensor(structural_similarity_index_measure(a, b, reduction="none", data_range=1.0)),
        first_NHWC,
        second_NHWC,
    )


def ms_ssim(first_NHWC: np.ndarray, second_NHWC: np.ndarray) -> np.ndarray:
    """Return the multi-scale structural similarity of each pair of images (Wang et al. 2003), float64 (N,), 0 to 1.

    Images too small for five scales are compared at fewer; the exponents of these are scaled to the same sum.

    Args:
        first_NHWC: uint8.
        second_NHWC: uint8, of the same shape.

    Raises:
        ValueError: images below 11 pixels.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    count = scales(first_NHWC.shape[1])
    if not count:
        raise ValueError(f"MS-SSIM needs images of at least {_WINDOW} pixels")
    betas = tuple(beta * sum(_BETAS) / sum(_BETAS[:count]) for beta in _BETAS[:count])
    return _pairwise(
        lambda a, b: multiscale_structural_similarity_index_measure(
            a, b, reduction="none", data_range=1.0, betas=betas
        ),
        first_NHWC,
        second_NHWC,
    )


def _pairwise(
    similarity: Callable[[Tensor, Tensor], Tensor], first_NHWC: np.ndarray, second_NHWC: np.ndarray
) -> np.ndarray:
    values = [np.zeros(0)]
    for start in range(0, len(first_NHWC), _BLOCK):
        parts = [images[start : start + _BLOCK] for images in (first_NHWC, second_NHWC)]
        first, second = (torch.from_numpy(part.transpose(0, 3, 1, 2) / np.float32(255)) for part in parts)
        # torchmetrics drops the dimension of a single pair.
        values.append(similarity(first, second).double().reshape(-1).numpy())
    return np.concatenate(values)
