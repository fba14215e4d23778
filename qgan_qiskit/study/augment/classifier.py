"""Training a classifier for a fixed number of steps, and its predictions.

Shape letters: N images · B batch · C classes · H W image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.errors import DivergedError
from qgan_qiskit.models.backbones import unfold_batch_norms
from qgan_qiskit.rng import seeded_generator, seeded_global_rng
from qgan_qiskit.study.augment.traditional import augment_batch, traditional_augmentation

_MEAN = {"imagenet": (0.485, 0.456, 0.406), "symmetric": (0.5, 0.5, 0.5)}
_DEVIATION = {"imagenet": (0.229, 0.224, 0.225), "symmetric": (0.5, 0.5, 0.5)}
_AT_ONCE = 128
# Images that batch norms are measured on.
_MEASURED = 256


class Preparation:
    """Bytes to what a backbone expects: its size and its normalization."""

    def __init__(self, config: AugmentConfig, side: int, device: torch.device) -> None:
        """Take size and normalization from the settings.

        Args:
            config: ``input_size`` and ``normalization`` apply.
            side: of the images in pixels.
            device: where the images will be.
        """
        self.size = config.input_size or side
        self.mean_C = torch.tensor(_MEAN[config.normalization], device=device).view(3, 1, 1)
        self.deviation_C = torch.tensor(_DEVIATION[config.normalization], device=device).view(3, 1, 1)

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Return normalized images of the backbone's size.

        Args:
            images_BCHW: float32, 0 to 1.
        """
        if images_BCHW.shape[-1] != self.size:
            images_BCHW = interpolate(images_BCHW, size=(self.size, self.size), mode="bilinear", antialias=True)
        prepared = (images_BCHW - self.mean_C) / self.deviation_C
        return prepared.contiguous(memory_format=torch.channels_last)


def to_tensor(images_NHWC: np.ndarray, device: torch.device) -> Tensor:
    """Return uint8 images as one tensor (N, 3, H, W) on a device, channels last in memory as they were."""
    return torch.from_numpy(np.array(images_NHWC, order="C")).permute(0, 3, 1, 2).to(device)


def batch_order(images: int, batch_size: int, steps: int, seed: int) -> Tensor:
    """Return the rows of every batch, shape (steps, batch_size): one random order of all images after the other.

    An epoch may end in the middle of a batch, so that every image comes equally often, whatever their number.
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
    """Train with cross-entropy and Adam, whose step size falls along a cosine; the last weights stay.

    Args:
        network: from :func:`~qgan_qiskit.study.augment.backbones.build_classifier`, on the images' device.
        images_NCHW: uint8.
        labels_N: int64.
        config: ``steps``, ``batch_size``, ``lr``, ``input_size`` and ``normalization`` apply.
        seed: of the order, of dropout and of the augmentation.
        traditional: turn, crop and flip every image at random.
        folded: batch norms to measure first.

    Returns:
        The loss of every step.

    Raises:
        DivergedError: a loss is not finite.
    """
    device, side = images_NCHW.device, images_NCHW.shape[-1]
    prepare, transform = Preparation(config, side, device), traditional_augmentation(side)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    order = batch_order(len(images_NCHW), config.batch_size, config.steps, seed).to(device)
    if folded:
        unfold_batch_norms(network, folded, prepare(images_NCHW[order.flatten()[:_MEASURED]].float().div_(255)))
    losses = []
    network.train()
    with seeded_global_rng(seed, device, "training"), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        for step, rows_B in enumerate(order):
            optimizer.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * step / config.steps)) / 2
            batch_BCHW = images_NCHW[rows_B].float().div_(255)
            if traditional:
                batch_BCHW = augment_batch(transform, batch_BCHW)
            loss = cross_entropy(network(prepare(batch_BCHW)), labels_N[rows_B])
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
    """Return probabilities_NC, float64 with rows of sum 1, of uint8 images.

    Raises:
        DivergedError: one is not finite.
    """
    network.eval()
    prepare = Preparation(config, images_NCHW.shape[-1], images_NCHW.device)
    logits_NC = torch.cat([network(prepare(part.float().div_(255))) for part in images_NCHW.split(_AT_ONCE)])
    probabilities_NC: np.ndarray = logits_NC.cpu().double().softmax(dim=1).numpy()
    if not np.isfinite(probabilities_NC).all():
        raise DivergedError("the classifier's predictions are not finite: lower --lr")
    return probabilities_NC
