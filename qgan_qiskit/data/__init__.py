"""Real images, from whatever the user has, to batches for training.

``read_images(config)`` detects the source (``read.py``): a folder or zip (``files.py``, ``archive.py``) in the
layout of ISIC 2019, HAM10000, Fitzpatrick17k, ODIR-5k or a folder per class (``isic.py``, ``ham.py``, ``fitzpatrick.py``,
``odir.py``, ``folders.py``, each giving a ``listing.py``) or with the batches of CIFAR-10 (``cifar.py``), an npz
(``npz.py``; these two end in ``arrays.py``), scikit-learn's digits (``digits.py``), or lesions made here
(``made_lesions.py`` on the canvas of ``skin.py``). A listing says which file has which class; ``decode.py`` makes RGB
squares of the files, ``decode_all.py`` finds all bad ones before training, ``cache.py`` keeps the result on disk. All end
in an :class:`ImageSet` (``image_set.py``), of which ``parts.py`` takes the training, validation or test part by lesion and
picture (``duplicates.py``), ``draw.py`` some at random, and
``gray.py`` the luma; ``batches.py`` feeds it to the networks as real_BCHW in [-1, 1].

What is wrong with the data is raised as ``qgan_qiskit.errors.DataError``; what is merely worth knowing is in
``ImageSet.notes``. Torch is imported only when :class:`Batches`, ``to_unit`` or ``to_uint8`` is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.data.layouts.synthetic import make_synthetic_lesions
from qgan_qiskit.data.source import (
    absolute_source,
    absolute_table,
    cache_folder,
    class_names,
    listed_summary,
    read_images,
    resolved_split,
)

if TYPE_CHECKING:
    from qgan_qiskit.data.batches import Batches, to_uint8, to_unit

__all__ = [
    "Batches",
    "ImageSet",
    "absolute_source",
    "absolute_table",
    "cache_folder",
    "class_names",
    "listed_summary",
    "make_synthetic_lesions",
    "read_images",
    "resolved_split",
    "to_uint8",
    "to_unit",
]


def __getattr__(name: str) -> Any:
    """Import torch's part of the room on first use: reading and checking data must not wait for torch."""
    if name in ("Batches", "to_uint8", "to_unit"):
        from qgan_qiskit.data import batches

        return getattr(batches, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
