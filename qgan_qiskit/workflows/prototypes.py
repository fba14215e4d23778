"""Class prototypes of real images: the mean features of each class, from a pretrained network or from a run's own critic.

Shape letters: N images · K classes · F features · C H W image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet, read_images, to_unit
from qgan_qiskit.errors import DataError, StorageError, UsageError
from qgan_qiskit.models.backbones import build_backbone, without_head
from qgan_qiskit.models.discriminators import ProjectionCritic
from qgan_qiskit.models.mediq.prototypes import write_prototypes
from qgan_qiskit.runs.load import load_discriminator

logger = logging.getLogger(__name__)


_BLOCK = 64
# ImageNet's colors, which torchvision's own weights expect.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_prototypes(
    data: DataConfig,
    output: Path,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    normalization: str = "imagenet",
    input_size: int | None = None,
    run: Path | None = None,
) -> Path:
    """Write the prototypes of the classes of some images.

    Args:
        data: images; all their classes, or those that ``class_name`` lists.
        output: file that ``fit --prototype-file`` takes.
        backbone: name of a torchvision network, with ``weights``.
        weights: its file.
        normalization: what the weights expect of pixels: ``imagenet`` or ``symmetric`` (-1 to 1).
        input_size: side that images are brought to; None for their own.
        run: a MediQ-GAN run or checkpoint, whose critic takes the backbone's place.

    Raises:
        UsageError: neither or both of weights and run are given.
        DataError: images or weights cannot be used.
        StorageError: the file cannot be written.
    """
    if (run is None) == (backbone is None or weights is None):
        raise UsageError(
            "prototypes come from --backbone with --weights, or from the critic of a --run: give one of them"
        )
    source: dict[str, object]
    if run is not None:
        critic, config = load_discriminator(run)
        if not isinstance(critic, ProjectionCritic):
            raise UsageError(
                f"{run}: model {config.model.name} has no critic whose features could be taken; name a mediq run"
            )
        if config.data.resolution != data.resolution:
            raise UsageError(f"{run}: its images have --resolution {config.data.resolution}, not {data.resolution}")
        features: Callable[[Tensor], Tensor] = critic.features
        source = {"run": str(run), "critic": type(critic).__name__}
    else:
        features, digest = _backbone(str(backbone), str(weights), normalization, input_size)
        source = {
            "backbone": backbone,
            "weights": Path(str(weights)).name,
            "weights_digest": digest,
            "normalization": normalization,
            "input_size": input_size,
        }
    images = _images(data)
    for note in images.notes:
        logger.warning(f"{note}")
    vectors_KF = class_means(images, features, 3 if run is None else data.channels)
    source |= {"digest": images.digest, "counts": images.counts(), "split": data.split}
    try:
        write_prototypes(output, images.classes, vectors_KF, source)
    except OSError as error:
        raise StorageError(f"{output}: not written ({error.strerror}); free space or name another --output") from None
    logger.info(
        f"{len(images.classes)} prototypes of {vectors_KF.shape[1]} numbers from {len(images):,} images: {output}"
    )
    return output


@torch.no_grad()
def class_means(images: ImageSet, features: Callable[[Tensor], Tensor], channels: int = 3) -> np.ndarray:
    """Return the mean features of each class, (K, F), in float64.

    Args:
        images: at least one of each class.
        features: images (N, C, H, W) in [-1, 1] to (N, F).
        channels: C.

    Raises:
        DataError: a class has no image.
    """
    empty = [name for name, count in images.counts().items() if not count]
    if empty:
        raise DataError(f"class {empty[0]} has no image: leave it out of --class")
    sums: Any = 0.0
    for start in range(0, len(images), _BLOCK):
        some = slice(start, start + _BLOCK)
        found_NF = features(to_unit(images.images_NHWC[some, ..., :channels])).double().numpy()
        of_class_KN = images.labels_N[some] == np.arange(len(images.classes))[:, None]
        sums = sums + of_class_KN @ found_NF
    return sums / np.bincount(images.labels_N)[:, None]


def _images(data: DataConfig) -> ImageSet:
    images = read_images(data.model_copy(update={"class_name": None}), 0)
    return images.select_several(data.class_list() or images.classes)


def _backbone(
    backbone: str, weights: str, normalization: str, input_size: int | None
) -> tuple[Callable[[Tensor], Tensor], str | None]:
    with torch.random.fork_rng(devices=[]):
        # Of what the file lacks. A fresh layer would give features that mean nothing, so it is refused below.
        torch.manual_seed(0)
        network, start = build_backbone(backbone, 1, weights)
    fresh = [name for name in start.from_scratch if not name.startswith(("fc", "classifier"))]
    if fresh:
        raise DataError(
            f"{weights}: lacks {', '.join(fresh)}, without which its features mean nothing; name a whole file"
        )
    network = without_head(network, backbone).eval()
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))

    def features(images_NCHW: Tensor) -> Tensor:
        if input_size is not None:
            images_NCHW = nn.functional.interpolate(images_NCHW, size=(input_size, input_size), mode="bilinear")
        if normalization == "imagenet":
            images_NCHW = ((images_NCHW + 1) / 2 - mean) / deviation
        return network(images_NCHW)

    return features, start.digest
