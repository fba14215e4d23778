"""The classifiers of the study: a backbone with a new head, the same for equal seeds."""

from __future__ import annotations

import torch
from torch import nn

from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.models.backbones import WeightsOrigin, build_backbone
from qgan_qiskit.rng import seeded_global_rng


def build_classifier(config: AugmentConfig, classes: int, seed: int) -> tuple[nn.Module, WeightsOrigin]:
    """Return a classifier of images (N, 3, H, W) to logits (N, classes), and where it starts from.

    Args:
        config: ``backbone``, ``weights`` and ``resnet_stride`` apply.
        classes: number of classes.
        seed: of what starts from scratch; equal seeds start equally.

    Raises:
        DataError: the weights file is missing, unreadable, or not of this backbone.
    """
    with seeded_global_rng(seed, torch.device("cpu")):
        return build_backbone(config.backbone, classes, config.weights, config.resnet_stride)
