"""Nearest images by their pixels, also under the eight turns and flips of the square.

Shape letters: N, M images · H W C image · P numbers of an image · B images of a block.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

TURNS = 8
_BLOCK = 500


def turned(images_NHWC: np.ndarray, turn: int) -> np.ndarray:
    """Return square images under turn 0 to 7: bit 0 flips left-right, the upper bits then turn by 0, 90, 180 or 270 degrees."""
    flipped_NHWC = images_NHWC[:, :, ::-1] if turn & 1 else images_NHWC
    return np.rot90(flipped_NHWC, turn >> 1, axes=(1, 2))


def nearest_by_pixels(images_NHWC: np.ndarray, others_MHWC: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each image, the number of the nearest one of another set, and the squared distance: (N,) int64, (N,).

    Args:
        images_NHWC: uint8.
        others_MHWC: uint8, of the same size.
        side: images that are larger are averaged down to this many pixels first.
    """
    others_MP = _shrunk(others_MHWC, side)
    lengths_M = np.einsum("mp,mp->m", others_MP, others_MP)
    rows, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(images_NHWC), _BLOCK):
        images_BP = _shrunk(images_NHWC[start : start + _BLOCK], side)
        # Whole numbers below 2**53: exact, in whichever order they are added.
        squared_BM = lengths_M - 2 * (images_BP @ others_MP.T)
        rows.append(squared_BM.argmin(axis=1))
        distances.append(squared_BM.min(axis=1) + np.einsum("bp,bp->b", images_BP, images_BP))
    return np.concatenate(rows), np.concatenate(distances)


def best_turns(images_NHWC: np.ndarray, others_MHWC: np.ndarray, side: int) -> np.ndarray:
    """Return for each image the turn (0 to 7) that brings it nearest to any image of another set, (N,)."""
    distances = [nearest_by_pixels(turned(images_NHWC, turn), others_MHWC, side)[1] for turn in range(TURNS)]
    return np.argmin(distances, axis=0)


def _shrunk(images_NHWC: np.ndarray, side: int) -> np.ndarray:
    """Return pixel levels as whole float64 numbers, (N, P)."""
    if images_NHWC.shape[1] <= side:
        return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float64)
    parts = [np.zeros((0, side * side * images_NHWC.shape[3]))]
    for start in range(0, len(images_NHWC), _BLOCK):
        # A copy: the images may be a read-only memory map.
        block_BHWC = np.array(images_NHWC[start : start + _BLOCK], order="C")
        pooled_BCHW = adaptive_avg_pool2d(torch.from_numpy(block_BHWC).permute(0, 3, 1, 2).float(), side).round()
        parts.append(pooled_BCHW.permute(0, 2, 3, 1).reshape(len(block_BHWC), -1).double().numpy())
    return np.concatenate(parts)
