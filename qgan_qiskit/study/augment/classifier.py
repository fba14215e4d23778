"""The classifiers of the study: a backbone with a new head, trained for a fixed number of steps, and its predictions.

Shape letters: N images · B batch · C classes, or channels of an image · H W image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torchvision.transforms import InterpolationMode, v2

from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.errors import DivergedError
from qgan_qiskit.models.backbones import WeightsOrigin, build_backbone, unfold_batch_norms
from qgan_qiskit.rng import seeded_generator, seeded_global_rng

_MEAN = {"imagenet": (0.485, 0.456, 0.406), "symmetric": (0.5, 0.5, 0.5)}
_DEVIATION = {"imagenet": (0.229, 0.224, 0.225), "symmetric": (0.5, 0.5, 0.5)}
# Images predicted at a time, and images that folded batch norms are measured on.
_PREDICTED, _MEASURED = 128, 256
# Fraction of the image's area that a crop keeps, and its aspect ratio.
_SCALE, _RATIO = (0.6, 1.0), (0.9, 1.1)


def build_classifier(config: AugmentConfig, classes: int, seed: int) -> tuple[nn.Module, WeightsOrigin]:
    """Return a classifier of images (N, 3, H, W) to logits (N, classes), and what it starts from.

    Args:
        config: ``backbone``, ``weights`` and ``resnet_stride`` apply.
        classes: number of classes.
        seed: of the layers that start from scratch.

    Raises:
        DataError: the weights file is missing, unreadable, or not of this backbone.
    """
    with seeded_global_rng(seed, torch.device("cpu")):
        return build_backbone(config.backbone, classes, config.weights, config.resnet_stride)


class Preprocessing:
    """Brings images to the size and normalization that a backbone expects."""

    def __init__(self, config: AugmentConfig, side: int, device: torch.device) -> None:
        """Set up size and normalization.

        Args:
            config: ``input_size`` and ``normalization`` apply.
            side: of the images in pixels.
            device: of the images.
        """
        self.size = config.input_size or side
        self.mean_C = torch.tensor(_MEAN[config.normalization], device=device).view(3, 1, 1)
        self.deviation_C = torch.tensor(_DEVIATION[config.normalization], device=device).view(3, 1, 1)

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Return resized and normalized images.

        Args:
            images_BCHW: float32, 0 to 1.
        """
        if images_BCHW.shape[-1] != self.size:
            images_BCHW = interpolate(images_BCHW, size=(self.size, self.size), mode="bilinear", antialias=True)
        normalized = (images_BCHW - self.mean_C) / self.deviation_C
        return normalized.contiguous(memory_format=torch.channels_last)


def geometric_augmentation(side: int) -> v2.Compose:
    """Return standard geometric augmentation of one image (C, H, W): random rotation, crop of 60 to 100 %, both flips.

    The image is padded by reflection before it is rotated, so that no black corners give the rotation away.

    Args:
        side: H and W in pixels.
    """
    # Half the diagonal minus half the side, and a pixel for the interpolation.
    margin = math.ceil((math.sqrt(2) - 1) / 2 * side) + 1
    return v2.Compose(
        [
            v2.Pad(margin, padding_mode="reflect"),
            v2.RandomRotation(180, interpolation=InterpolationMode.BILINEAR),
            v2.CenterCrop(side),
            v2.RandomResizedCrop(side, scale=_SCALE, ratio=_RATIO, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
        ]
    )


def augment_batch(transform: v2.Compose, images_BCHW: Tensor) -> Tensor:
    """Return the images, each with random changes of its own, by torch's global generator."""
    return torch.stack([transform(image_CHW) for image_CHW in images_BCHW])


def to_tensor(images_NHWC: np.ndarray, device: torch.device) -> Tensor:
    """Return uint8 images as one tensor (N, 3, H, W) on a device, channels last in memory as they were."""
    return torch.from_numpy(np.array(images_NHWC, order="C")).permute(0, 3, 1, 2).to(device)


def batch_order(images: int, batch_size: int, steps: int, seed: int) -> Tensor:
    """Return the rows of every batch, shape (steps, batch_size): random orders of all images, one after the other.

    An epoch may end in the middle of a batch, so that all images come equally often.
    """
    epochs = math.ceil(steps * batch_size / images)
    orders = [torch.randperm(images, generator=seeded_generator(seed, "order", epoch)) for epoch in range(epochs)]
    return torch.cat(orders)[: steps * batch_size].view(steps, batch_size)


def train_classifier(
    network: nn.Module,
    images_NCHW: Tensor,
    labels_N: Tensor,
    config: AugmentConfig,
    seed: int,
    *,
    traditional: bool = False,
    folded: Sequence[str] = (),
) -> list[float]:
    """Train with cross-entropy and Adam with a cosine learning-rate schedule; the last weights count.

    Args:
        network: from :func:`build_classifier`, on the images' device.
        images_NCHW: uint8.
        labels_N: int64.
        config: ``steps``, ``batch_size``, ``lr``, ``input_size`` and ``normalization`` apply.
        seed: of the order, of dropout and of the augmentation.
        traditional: use standard geometric augmentation.
        folded: batch norms to measure first, which the file holds folded into convolutions.

    Returns:
        The loss of every step.

    Raises:
        DivergedError: a loss is not finite.
    """
    device, side = images_NCHW.device, images_NCHW.shape[-1]
    preprocess, transform = Preprocessing(config, side, device), geometric_augmentation(side)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    order = batch_order(len(images_NCHW), config.batch_size, config.steps, seed).to(device)
    if folded:
        unfold_batch_norms(network, folded, preprocess(images_NCHW[order.flatten()[:_MEASURED]].float().div_(255)))
    losses = []
    network.train()
    with seeded_global_rng(seed, device, "training"), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        for step, rows_B in enumerate(order):
            optimizer.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * step / config.steps)) / 2
            batch_BCHW = images_NCHW[rows_B].float().div_(255)
            if traditional:
                batch_BCHW = augment_batch(transform, batch_BCHW)
            loss = cross_entropy(network(preprocess(batch_BCHW)), labels_N[rows_B])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    found = torch.stack(losses).tolist()
    for step, value in enumerate(found):
        if not math.isfinite(value):
            raise DivergedError(f"the classifier's loss is {value} at step {step}: lower --lr")
    return found


@torch.no_grad()
def predict(network: nn.Module, images_NCHW: Tensor, config: AugmentConfig) -> np.ndarray:
    """Return the probabilities_NC of uint8 images, float64 with rows of sum 1.

    Raises:
        DivergedError: one is not finite.
    """
    network.eval()
    preprocess = Preprocessing(config, images_NCHW.shape[-1], images_NCHW.device)
    logits_NC = torch.cat([network(preprocess(part.float().div_(255))) for part in images_NCHW.split(_PREDICTED)])
    probabilities_NC: np.ndarray = logits_NC.cpu().double().softmax(dim=1).numpy()
    if not np.isfinite(probabilities_NC).all():
        raise DivergedError("the classifier's predictions are not finite: lower --lr")
    return probabilities_NC
