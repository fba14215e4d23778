"""From a QGPatch circuit's expectations to probabilities, and from those to pixels (Huang et al., arXiv 2010.06201).

A patch's pixels are the basis states of the qubits that are no ancillas. What enters the read-outs is p(j, 0), the probability
of basis state j together with all ancillas in 0; its sum over j is the probability that the ancillas are in 0.

Shape letters: B batch · P patches, one per sub-generator · J pixels of a patch, a power of two.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A probability below this counts as this where it divides: patches fade to black instead of dividing 0 by 0.
TINY = 1e-6


def probabilities_of_parities(parities_BPJ: Tensor) -> Tensor:
    """Return p(j, 0) from the expectations of ``circuits.readouts.projected_parities``, by a Walsh-Hadamard transform.

    Args:
        parities_BPJ: expectations in [-1, 1], in the order of the observables.

    Returns:
        Probabilities of shape (B, P, J); below 0 by rounding or by shots are 0.
    """
    size = parities_BPJ.shape[-1]
    values = parities_BPJ
    for bit in range(size.bit_length() - 1):
        even, odd = values.unflatten(-1, (-1, 2, 1 << bit)).unbind(-2)
        values = torch.stack([even + odd, even - odd], dim=-2).flatten(-3)
    return (values / size).clamp_min(0)


def probabilities_of_logits(logits_BPJ: Tensor, num_ancillas: int) -> Tensor:
    """Return p(j, 0) of a classical twin: a softmax over as many outcomes as the circuit has.

    The outcomes whose ancillas are not all 0 show no pixel and get the logit 0, so at logits around 0 the ancillas are in 0
    as often as for a circuit of random weights, and p(j, 0) is positive and sums to less than 1 as the circuit's does.

    Args:
        logits_BPJ: any numbers.
        num_ancillas: qubits of the circuit that show no pixels.
    """
    others = (2**num_ancillas - 1) * logits_BPJ.shape[-1]
    largest = logits_BPJ.amax(dim=-1, keepdim=True).clamp_min(0)
    weights = torch.exp(logits_BPJ - largest)
    return weights / (weights.sum(dim=-1, keepdim=True) + others * torch.exp(-largest))


def conditioned(joint_BPJ: Tensor) -> Tensor:
    """Return p(j | 0) from p(j, 0): each patch sums to 1 (read-out ``paper``, appendix C)."""
    return joint_BPJ / joint_BPJ.sum(dim=-1, keepdim=True).clamp_min(TINY)


def relative_to_largest(joint_BPJ: Tensor) -> Tensor:
    """Return ``p(j, 0) / max_j p(j, 0)``: the largest of each patch is 1 (read-out ``tutorial``, PennyLane's)."""
    return joint_BPJ / joint_BPJ.amax(dim=-1, keepdim=True).clamp_min(TINY)
