"""MediQ-GAN before its decoder: a condition becomes features, of which one part goes through circuits.

Shape letters: B batch · D condition · P sub-generators · Q inputs · O observables · features are (B, channels, 8, 8).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

FEATURES, SIDE = 32, 8
# The circuits sit on a plane of 4 x 4.
_SITES_SIDE = 4
SITES = _SITES_SIDE**2


def cnn_encoder(condition_size: int) -> nn.Sequential:
    """Return (B, D, 1, 1) -> (B, 32, 8, 8): upsampled, then conv1x1, conv3x3, conv3x3, each with GELU."""
    return nn.Sequential(
        nn.Upsample(scale_factor=SIDE, mode="bilinear", align_corners=False),
        nn.Conv2d(condition_size, 128, 1),
        nn.GELU(),
        nn.Conv2d(128, 128, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(128, FEATURES, 3, padding=1),
        nn.GELU(),
    )


def fc_encoder(condition_size: int) -> nn.Sequential:
    """Return (B, D, 1, 1) -> (B, 32, 8, 8): one linear layer, then conv3x3 to 64 channels and back."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(condition_size, FEATURES * SIDE * SIDE),
        nn.Unflatten(1, (FEATURES, SIDE, SIDE)),
        nn.GELU(),
        nn.Conv2d(FEATURES, 64, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(64, FEATURES, 3, padding=1),
        nn.GELU(),
    )


class ClassicalStream(nn.Module):
    """Its own 1x1 cut of the features, then one conv3x3."""

    def __init__(self, channels: int) -> None:
        """Build; weights are set by the caller.

        Args:
            channels: that it gives.
        """
        super().__init__()
        self.cut = nn.Conv2d(FEATURES, channels, 1)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, channels, 8, 8)."""
        return nn.functional.leaky_relu(self.convolution(self.cut(features)), 0.2)


class QuantumStream(nn.Module):
    """Its own cut of the features, pooled to 4 x 4 sites; circuits at some sites; maps of what they say.

    Site g of sub-generator g is round(linspace(0, 15, P)[g]). Each sub-generator makes a map per observable that is 0 but at
    its site; all maps together go through a 1x1 convolution and are drawn out to 8 x 8.

    Attributes:
        sites_P: where the circuits sit.
    """

    sites_P: Tensor

    def __init__(
        self, channels: int, count: int, num_inputs: int, num_outputs: int, *, layer_norm: bool = False
    ) -> None:
        """Build; weights are set by the caller.

        Args:
            channels: that it gives.
            count: P, up to 16.
            num_inputs: Q.
            num_outputs: O.
            layer_norm: whether to bring each site's angles to mean 0 and deviation 1.
        """
        super().__init__()
        self._layer_norm = layer_norm
        self.cut = nn.Conv2d(FEATURES, channels, 1)
        self.align = nn.Linear(channels, num_inputs)
        self.merge = nn.Conv2d(count * num_outputs, channels, 1)
        self.register_buffer("sites_P", torch.linspace(0, SITES - 1, count).round().long(), persistent=False)

    def angles(self, features: Tensor) -> Tensor:
        """Return the circuits' inputs in radians, (B, P, Q)."""
        sites = adaptive_avg_pool2d(self.cut(features), _SITES_SIDE).flatten(2)
        angles = self.align(sites[:, :, self.sites_P].transpose(1, 2))
        # Circuits are periodic: beyond some radians they only hash what they are given.
        return nn.functional.layer_norm(angles, angles.shape[-1:]) if self._layer_norm else angles

    def forward(self, outputs_BPO: Tensor) -> Tensor:
        """Return (B, channels, 8, 8) from expectations."""
        batch, count, number = outputs_BPO.shape
        maps = outputs_BPO.new_zeros(batch, count, number, SITES)
        places = self.sites_P[None, :, None, None].expand(batch, count, number, 1)
        maps = maps.scatter(3, places, outputs_BPO[..., None])
        merged = self.merge(maps.reshape(batch, count * number, _SITES_SIDE, _SITES_SIDE))
        return interpolate(merged, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
