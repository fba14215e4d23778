"""Class prototypes: the mean features of each class of real images, from a pretrained network or the critic of a run.

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
from qgan_qiskit.models.backbones import build_backbone, remove_head
from qgan_qiskit.models.prototypes import write_prototypes
from qgan_qiskit.runs.load import load_discriminator

logger = logging.getLogger(__name__)


Features = Callable[[Tensor], Tensor]

_BATCH = 64
# ImageNet's mean and standard deviation, which torchvision's weights expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
    """Write the prototypes of all classes of a data source, or of those that ``class_name`` lists.

    Args:
        data: the images.
        output: file that ``fit --prototype-file`` takes.
        backbone: name of a torchvision network, with ``weights``.
        weights: file of the network.
        normalization: pixel values that the weights expect: ``imagenet`` or ``symmetric`` (-1 to 1).
        input_size: side that images are resized to; None for their own.
        run: a MediQ-GAN run or checkpoint whose critic replaces the network.

    Raises:
        UsageError: neither or both of weights and run are given.
        DataError: images or weights cannot be used.
        StorageError: the file cannot be written.
    """
    if (run is None) == (backbone is None or weights is None):
        raise UsageError(
            "prototypes come from --backbone with --weights, or from the critic of a --run: give one of them"
        )
    if run is not None:
        features, source = _load_critic(run, data)
    else:
        features, source = _load_backbone(str(backbone), str(weights), normalization, input_size)
    images = read_images(data.model_copy(update={"class_name": None}), 0)
    images = images.select_classes(data.class_list() or images.classes)
    for note in images.notes:
        logger.warning(note)
    vectors_KF = compute_class_means(images, features, 3 if run is None else data.channels)
    source |= {"digest": images.digest, "counts": images.counts(), "split": data.split}
    try:
        write_prototypes(output, images.classes, vectors_KF, source)
    except OSError as error:
        raise StorageError(f"{output}: not written ({error.strerror}); free space or name another --output") from None
    logger.info(
        f"{len(images.classes)} prototypes of {vectors_KF.shape[1]} features from {len(images):,} images: {output}"
    )
    return output


@torch.no_grad()
def compute_class_means(images: ImageSet, features: Features, channels: int = 3) -> np.ndarray:
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
    for start in range(0, len(images), _BATCH):
        rows = slice(start, start + _BATCH)
        features_NF = features(to_unit(images.images_NHWC[rows, ..., :channels])).double().numpy()
        is_class_KN = images.labels_N[rows] == np.arange(len(images.classes))[:, None]
        sums = sums + is_class_KN @ features_NF
    return sums / np.bincount(images.labels_N)[:, None]


def _load_critic(run: Path, data: DataConfig) -> tuple[Features, dict[str, object]]:
    """Return the features of a run's critic, and a description of it."""
    critic, config = load_discriminator(run)
    if not critic.provides_prototypes:
        raise UsageError(f"{run}: model {config.model.name} has no critic with features; name a mediq run")
    if config.data.resolution != data.resolution:
        raise UsageError(f"{run}: its images have --resolution {config.data.resolution}, not {data.resolution}")
    return critic.features, {"run": str(run), "critic": type(critic).__name__}


def _load_backbone(
    backbone: str, weights: str, normalization: str, input_size: int | None
) -> tuple[Features, dict[str, object]]:
    """Return the features of a torchvision network, and a description of it."""
    with torch.random.fork_rng(devices=[]):
        # Initializes layers that the file lacks; all but the head are refused below.
        torch.manual_seed(0)
        network, start = build_backbone(backbone, 1, weights)
    lacking = [name for name in start.from_scratch if not name.startswith(("fc", "classifier"))]
    if lacking:
        raise DataError(f"{weights}: lacks {', '.join(lacking)}, needed for its features; name a complete file")
    network = remove_head(network, backbone).eval()
    mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))

    def features(images_NCHW: Tensor) -> Tensor:
        if input_size is not None:
            images_NCHW = nn.functional.interpolate(images_NCHW, size=(input_size, input_size), mode="bilinear")
        if normalization == "imagenet":
            images_NCHW = ((images_NCHW + 1) / 2 - mean) / std
        return network(images_NCHW)

    return features, {
        "backbone": backbone,
        "weights": Path(weights).name,
        "weights_digest": start.digest,
        "normalization": normalization,
        "input_size": input_size,
    }
