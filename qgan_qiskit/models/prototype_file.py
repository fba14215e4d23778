"""Files of class prototypes: mean features of the real images of each class.

Shape letters: K classes · F features.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from qgan_qiskit.errors import DataError


def write_prototypes(path: Path, classes: tuple[str, ...], vectors_KF: np.ndarray, source: dict[str, object]) -> None:
    """Write prototypes as one npz.

    Args:
        path: of the file.
        classes: names.
        vectors_KF: mean features.
        source: what they were made with, for people.

    Raises:
        OSError: the disk refused.
    """
    staging = path.with_name(f".{path.name}.staging")
    with staging.open("wb") as file:
        np.savez(
            file, classes=np.array(classes), vectors=vectors_KF.astype(np.float32), source=np.array(json.dumps(source))
        )
    staging.replace(path)


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
        # What numpy says of a file of another kind is to unpickle it, which nobody should.
        raise DataError(f"{path}: is no file of prototypes; make one with the prototypes command") from None
    if vectors.shape[:1] != (len(names),) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise DataError(f"{path}: is damaged: not a row of numbers for each class; make it anew")
    missing = [name for name in classes if name.casefold() not in names]
    if missing:
        raise DataError(f"{path}: has no prototype of class {missing[0]}; make it anew with all classes")
    return vectors[[names.index(name.casefold()) for name in classes]]
