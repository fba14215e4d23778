"""Initial weights from an explicit source of randomness, so that no global seed is needed."""

from __future__ import annotations

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def dcgan_initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Set weights as DCGAN does (Radford et al. 2015, section 4): N(0, 0.02), batch-norm gains N(1, 0.02), biases 0.

    Args:
        module: every convolution, linear and batch-norm layer inside is set, in order.
        generator: source of randomness.
    """
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            _normal(layer, 0.0, generator)
        elif isinstance(layer, nn.BatchNorm2d):
            _normal(layer, 1.0, generator)


def he_initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Set convolution and linear weights to N(0, 2 / fan_in) (He et al. 2015), biases to 0.

    Args:
        module: every convolution and linear layer inside is set, in order.
        generator: source of randomness.
    """
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _normal(layer: nn.Module, mean: float, generator: torch.Generator) -> None:
    parameters = dict(layer.named_parameters())
    # Spectral normalisation keeps the trained weight beside a normalised view of it.
    weight = parameters.get("parametrizations.weight.original", parameters.get("weight"))
    if weight is not None:
        nn.init.normal_(weight, mean, 0.02, generator=generator)
    if "bias" in parameters:
        nn.init.zeros_(parameters["bias"])
