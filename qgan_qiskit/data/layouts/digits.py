"""The 8x8 handwritten digits that come with scikit-learn: the test set of UCI's optical recognition of handwritten digits.

Shape letters: N images, H W height and width, C color channels.
"""

from __future__ import annotations

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import ImageSet, class_index, draw_of_each, means_all
from qgan_qiskit.data.decoding import square_pixels
from qgan_qiskit.memory import check_memory_for_images

NAME = "sklearn:digits"
CLASSES = tuple(str(digit) for digit in range(10))
# The brightest of the set's levels, which start at 0.
_WHITE = 16


def read_digits(config: DataConfig) -> ImageSet:
    """Return the 1,797 digits as images, white on black; nothing is downloaded.

    Args:
        config: ``class_name``, ``limit`` and ``resolution`` apply; 8 keeps the pixels, other sizes are resized as files are.

    Returns:
        The images; names are ``sklearn:digits[7]``, in the order of scikit-learn's table.

    Raises:
        DataError: no such class.
    """
    from sklearn.datasets import load_digits

    levels_NHW, labels_N = load_digits().images, load_digits().target.astype(np.int64)
    classes, kept_M = CLASSES, np.arange(len(labels_N))
    if not means_all(config.class_name, CLASSES):
        index = class_index(CLASSES, str(config.class_name))
        classes, kept_M = (CLASSES[index],), np.flatnonzero(labels_N == index)
    if config.limit is not None:
        names = [f"{NAME}[{row}]" for row in kept_M]
        kept_M = kept_M[draw_of_each(labels_N[kept_M], names, [""] * len(names), config.limit, config.split_seed)]
    gray_MHW = np.rint(levels_NHW[kept_M] * (255 / _WHITE)).astype(np.uint8)
    side = config.resolution
    check_memory_for_images(len(kept_M), side)
    images_MHWC = np.empty((len(kept_M), side, side, 3), np.uint8)
    for image_HWC, gray_HW in zip(images_MHWC, gray_MHW, strict=True):
        image_HWC[:] = square_pixels(np.repeat(gray_HW[..., None], 3, axis=2), side)
    return ImageSet(
        images_NHWC=images_MHWC,
        labels_N=labels_N[kept_M] if len(classes) > 1 else np.zeros(len(kept_M), np.int64),
        classes=classes,
        names=tuple(f"{NAME}[{row}]" for row in kept_M),
        groups=("",) * len(kept_M),
        notes=("the 8x8 digits that come with scikit-learn",),
    )
