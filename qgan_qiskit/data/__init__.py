"""Real images, from whatever the user has, to batches for training.

:func:`read_images` detects the source (``source``): a folder or zip (``files``) in one of the ``layouts``, an npz, scikit-learn's
digits, or synthetic lesions. A listing says which image has which class, group and split; ``decoding`` makes RGB squares,
``cache`` keeps them on disk, and ``splits`` selects training, validation or test images by lesion, with near-duplicates
(``duplicates``) kept together. The result is an :class:`ImageSet`; :class:`Batches` feeds it to the networks as real_BCHW in
[-1, 1].

Problems with the data are a ``DataError``; what is merely worth knowing is in ``ImageSet.notes``. Names that need torch are
imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qgan_qiskit.data.dataset import ImageSet, class_index, means_all, split_unit
from qgan_qiskit.data.layouts.synthetic import make_synthetic_lesions
from qgan_qiskit.data.source import (
    absolute_source,
    absolute_table,
    cache_folder,
    class_names,
    read_images,
    resolve_split,
    summarize_images,
    summarize_listing,
    summary_line,
)

if TYPE_CHECKING:
    from qgan_qiskit.data.batches import Batches, to_uint8, to_unit
    from qgan_qiskit.data.grids import class_sheet, grid_picture

__all__ = [
    "Batches",
    "ImageSet",
    "absolute_source",
    "absolute_table",
    "cache_folder",
    "class_index",
    "class_names",
    "class_sheet",
    "grid_picture",
    "make_synthetic_lesions",
    "means_all",
    "read_images",
    "resolve_split",
    "split_unit",
    "summarize_images",
    "summarize_listing",
    "summary_line",
    "to_uint8",
    "to_unit",
]
_NEEDS_TORCH = {
    "Batches": "batches",
    "to_uint8": "batches",
    "to_unit": "batches",
    "class_sheet": "grids",
    "grid_picture": "grids",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use: reading and checking data must not wait for torch."""
    if name in _NEEDS_TORCH:
        return getattr(importlib.import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
