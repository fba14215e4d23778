"""The classical baseline of the sub-generators: the same shapes and exactly as many trained numbers, no circuit.

Shape letters: B batch · P sub-generators · Q inputs · O outputs · K weights of one sub-generator · R hidden units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qgan_qiskit.errors import UsageError


class MatchedClassicalBlock(nn.Module):
    """P small networks Q -> R -> O with tanh, each of exactly K parameters; outputs in [-1, 1] like expectations, or any numbers.

    R is the largest width that K pays for; the rest goes to a diagonal from input to output, then to biases of the
    outputs and of the hidden units, in that order. At 10 inputs, 10 outputs and 60 weights it is 10 -> 3 -> 10.
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        num_weights: int,
        count: int,
        generator: torch.Generator,
        *,
        bounded: bool = True,
    ) -> None:
        """Build and initialize.

        Args:
            num_inputs: Q.
            num_outputs: O.
            num_weights: K.
            count: P.
            generator: source of the initial weights.
            bounded: end in tanh; without, outputs are logits of any size.

        Raises:
            UsageError: K parameters cannot be spent on these shapes.
        """
        super().__init__()
        self.bounded = bounded
        hidden, rest = divmod(num_weights, num_inputs + num_outputs)
        sizes = []
        for size in (min(num_inputs, num_outputs), num_outputs, hidden):
            sizes.append(min(size, rest))
            rest -= sizes[-1]
        if rest:
            raise UsageError(
                f"a classical baseline of {num_inputs} inputs and {num_outputs} outputs cannot have {num_weights} parameters"
            )

        def normal(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(count, *shape, generator=generator) * scale)

        self.first_PQR = normal(num_inputs, hidden, scale=1 / math.sqrt(num_inputs))
        self.second_PRO = normal(hidden, num_outputs, scale=1 / math.sqrt(max(hidden, 1)))
        self.diagonal = normal(sizes[0], scale=1.0)
        self.output_bias = normal(sizes[1], scale=0.1)
        self.hidden_bias = normal(sizes[2], scale=0.1)

    def forward(self, angles_BPQ: Tensor) -> Tensor:
        """Return outputs (B, P, O), in [-1, 1] if bounded, from angles in radians."""
        centered = (angles_BPQ - math.pi / 2).transpose(0, 1)
        hidden_PBR = torch.tanh(_add(centered @ self.first_PQR, self.hidden_bias))
        output_PBO = hidden_PBR @ self.second_PRO
        width = self.diagonal.shape[1]
        output_PBO = _add(output_PBO, self.diagonal[:, None] * centered[:, :, :width])
        output_PBO = _add(output_PBO, self.output_bias)
        return (torch.tanh(output_PBO) if self.bounded else output_PBO).transpose(0, 1)


def _add(values_PBX: Tensor, part: Tensor) -> Tensor:
    """Add a bias (P, x) or an array (P, B, x) to the first x columns."""
    part = part[:, None] if part.dim() == 2 else part
    return values_PBX + nn.functional.pad(part, (0, values_PBX.shape[2] - part.shape[2]))
