"""How much images of a batch vary, as something that a discriminator can see (Karras et al. 2018, arXiv 1710.10196, section 3).

Shape letters: B batch · C H W feature maps · G groups of a batch · M members of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# As many as StyleGAN2 takes (arXiv 1912.04958).
MEMBERS = 4


class MinibatchStd(nn.Module):
    """Adds a channel: the mean over all features of their standard deviation over a group of neighbours in the batch.

    A generator that makes the same image again and again gives itself away by it. In a batch that is no multiple of 4 all
    images are one group.
    """

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return the features with the channel behind them, shape (B, C + 1, H, W)."""
        batch, _, height, width = features_BCHW.shape
        members = MEMBERS if batch % MEMBERS == 0 else batch
        groups_GMX = features_BCHW.float().reshape(batch // members, members, -1)
        # The small number keeps the gradient finite where all members are equal.
        deviation_GX = (groups_GMX.var(dim=1, correction=0) + 1e-8).sqrt()
        value_B = deviation_GX.mean(dim=1).repeat_interleave(members).to(features_BCHW.dtype)
        return torch.cat([features_BCHW, value_B.view(batch, 1, 1, 1).expand(-1, 1, height, width)], dim=1)
