"""Reusable buffers for state vectors.

A fresh tensor of a few megabytes costs a page fault per 4 KiB when it is first written, as long as the arithmetic done on
it; so the buffers of the last shape are kept, per thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

_MAX_KEPT_BYTES = 64 << 20
_local = threading.local()


def take(like: Tensor, shape: Sequence[int] | None = None) -> Tensor:
    """Return an uninitialized contiguous tensor of the dtype and device of ``like`` (and its shape, unless given)."""
    key = (tuple(like.shape if shape is None else shape), like.dtype, like.device)
    kept: list[Tensor] = _local.__dict__.setdefault("kept", [])
    if kept and (tuple(kept[0].shape), kept[0].dtype, kept[0].device) != key:
        kept.clear()
    if kept:
        return kept.pop()
    # It may be kept for a call outside of inference mode, where torch forbids writing to what was made within.
    with torch.inference_mode(False):
        return torch.empty(key[0], dtype=like.dtype, device=like.device)


def give(*tensors: Tensor) -> None:
    """Hand buffers back; they must not be used afterwards."""
    kept: list[Tensor] = _local.__dict__.setdefault("kept", [])
    for tensor in tensors:
        fits = not kept or (kept[0].shape, kept[0].dtype, kept[0].device) == (tensor.shape, tensor.dtype, tensor.device)
        if fits and (len(kept) + 1) * tensor.nbytes <= _MAX_KEPT_BYTES:
            kept.append(tensor)
