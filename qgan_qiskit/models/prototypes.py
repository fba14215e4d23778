"""Class prototypes of MediQ-GAN: a vector per class that sets the center of its latents, and files of them.

A prototype file holds the mean features of the real images of each class.

Shape letters: B batch · K classes · F numbers of a prototype · Z latent size.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from qgan_qiskit.errors import DataError
from qgan_qiskit.models.layers import he_initialize
from qgan_qiskit.storage import atomic_write

# As in the authors' code: hidden width, and the range of each class's scale.
_HIDDEN, _LOWEST, _HIGHEST = 512, 0.2, 0.8
# Weight of the penalty on prototypes that are close.
SEPARATION_WEIGHT = 5e-3


class Prototypes(nn.Module):
    """K trained vectors, a small network to the center of each class's latents, and a scale per class.

    The authors' ``ProtoReducer`` (MediQ-GAN, arXiv 2506.21015v2).

    Attributes:
        vectors_KF: the prototypes; they start at random, or as given by :meth:`set_vectors`.
        log_scale_K: before softplus.
    """

    def __init__(self, num_classes: int, width: int, latent_size: int, generator: torch.Generator) -> None:
        """Build and initialize for K classes, width F and latent size Z."""
        super().__init__()
        self.vectors_KF = nn.Parameter(torch.randn(num_classes, width, generator=generator))
        self.reduce = nn.Sequential(nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, latent_size))
        self.log_scale_K = nn.Parameter(torch.zeros(num_classes))
        he_initialize(self, generator)

    def validate(self, vectors_KF: np.ndarray) -> None:
        """Refuse prototypes that do not fit.

        Raises:
            DataError: prototypes of another width.
        """
        if vectors_KF.shape != tuple(self.vectors_KF.shape):
            raise DataError(
                f"prototypes of shape {vectors_KF.shape} do not fit {tuple(self.vectors_KF.shape)}: set --prototype-width "
                "to that of the file"
            )

    def set_vectors(self, vectors_KF: np.ndarray) -> None:
        """Set the prototypes to those of real images, each scaled to the unit variance that the random ones have.

        Raises:
            DataError: they are of another width.
        """
        self.validate(vectors_KF)
        vectors = torch.from_numpy(np.ascontiguousarray(vectors_KF, dtype=np.float32))
        with torch.no_grad():
            self.vectors_KF.copy_(vectors / vectors.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6))

    def centers(self) -> Tensor:
        """Return the center of each class's latents, (K, Z)."""
        return self.reduce(self.vectors_KF)

    def scales(self) -> Tensor:
        """Return the scale of each class's latents, (K,), in [0.2, 0.8]."""
        return softplus(self.log_scale_K).clamp(_LOWEST, _HIGHEST)

    def crowding(self) -> Tensor:
        """Return the mean of relu(1 - distance) over pairs of prototypes of unit length, a scalar."""
        unit_KF = normalize(self.vectors_KF, dim=1)
        count = len(unit_KF)
        if count == 1:
            return unit_KF.sum() * 0
        rows, columns = torch.triu_indices(count, count, 1)
        # Squared first: the root has no derivative where two are equal.
        squared = (unit_KF[rows] - unit_KF[columns]).square().sum(1)
        return torch.relu(1 - (squared + 1e-12).sqrt()).mean()


def write_prototypes(path: Path, classes: tuple[str, ...], vectors_KF: np.ndarray, source: dict[str, object]) -> None:
    """Write the mean features of each class as one npz, with a record of how they were computed.

    Raises:
        OSError: the file system refused.
    """
    vectors, record = vectors_KF.astype(np.float32), np.array(json.dumps(source))
    atomic_write(path, lambda file: np.savez(file, classes=np.array(classes), vectors=vectors, source=record))


def read_prototypes(path: str | Path, classes: tuple[str, ...]) -> np.ndarray:
    """Return the prototypes (K, F) of some classes, in their order.

    Raises:
        DataError: the file cannot be read, or has none of a class.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names, vectors = [str(name).casefold() for name in file["classes"]], file["vectors"]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); name a file of prototypes") from None
    except (ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
        # NumPy's own message suggests to unpickle the file, which nobody should.
        raise DataError(f"{path}: is no file of prototypes; make one with the prototypes command") from None
    if vectors.shape[:1] != (len(names),) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise DataError(f"{path}: is damaged: not a row of numbers for each class; create it again")
    missing = [name for name in classes if name.casefold() not in names]
    if missing:
        raise DataError(f"{path}: has no prototype of class {missing[0]}; create it again with all classes")
    return vectors[[names.index(name.casefold()) for name in classes]]
