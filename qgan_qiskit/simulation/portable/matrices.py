"""Angles -> 2x2 matrices -> slot products -> block matrices, in plain differentiable torch.

All tensors here are small (no 2**n anywhere), so torch's own autograd carries their gradients; only the state vector is
differentiated by hand, in :mod:`qgan_qiskit.simulation.portable.evolution`.

Shape letters: … any leading dimensions · G rotations · S slots · N blocks · M = 2**(qubits of a block).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qgan_qiskit.simulation.portable.program import Slot


def rotation_matrices(angles_xG: Tensor, axes: Sequence[str], dtype: torch.dtype) -> Tensor:
    """Return RX, RY, RZ matrices, shape (…, G, 2, 2), of angles in radians, shape (…, G)."""
    half = angles_xG / 2
    c, s = torch.cos(half), torch.sin(half)
    if all(axis == "y" for axis in axes):
        return torch.stack([c, -s, s, c], dim=-1).unflatten(-1, (2, 2)).to(dtype)
    is_x, is_y, is_z = (
        torch.tensor([axis == letter for axis in axes], device=half.device, dtype=half.dtype) for letter in "xyz"
    )
    # exp(-i a/2 P) = cos(a/2) I - i sin(a/2) P, one formula for all three axes.
    diagonal_0 = torch.complex(c, -s * is_z)
    diagonal_1 = torch.complex(c, s * is_z)
    upper = torch.complex(-s * is_y, -s * is_x)
    lower = torch.complex(s * is_y, -s * is_x)
    return torch.stack([diagonal_0, upper, lower, diagonal_1], dim=-1).unflatten(-1, (2, 2)).to(dtype)


def slot_matrices(rotations_xG22: Tensor, column: dict[int, int], fixed_F22: Tensor, slots: Sequence[Slot]) -> Tensor:
    """Multiply each slot's gates, shape (…, S, 2, 2); the first gate of a slot stands rightmost.

    Args:
        rotations_xG22: matrices of the rotations that occur in these slots.
        column: index of a rotation in the program -> index in ``rotations_xG22``.
        fixed_F22: the program's constant gates.
        slots: the slots to multiply.
    """
    leading = rotations_xG22.shape[:-3]
    count = rotations_xG22.shape[-3]
    identity_122 = torch.eye(2, dtype=fixed_F22.dtype, device=fixed_F22.device)[None]
    constants_F22 = torch.cat([fixed_F22, identity_122])
    identity = count + len(fixed_F22)
    depth = max(len(slot.gates) for slot in slots)
    index = [
        [
            (column[g] if g >= 0 else count - 1 - g) if position < len(slot.gates) else identity
            for slot in slots
            for g in [slot.gates[position] if position < len(slot.gates) else 0]
        ]
        for position in range(depth)
    ]
    if depth == 1 and index[0] == list(range(count)):
        return rotations_xG22
    gates = torch.cat([rotations_xG22, constants_F22.expand(*leading, -1, 2, 2)], dim=-3)
    order = torch.tensor(index, device=gates.device)
    product = gates.index_select(-3, order[0])
    for position in range(1, depth):
        product = gates.index_select(-3, order[position]) @ product
    return product


def block_matrices(slots_PS22: Tensor, members: Sequence[Sequence[int]]) -> Tensor:
    """Kronecker products of slot matrices, shape (N, P, M, M); the block's first qubit is the lowest bit of M.

    Args:
        slots_PS22: slot matrices of P instances.
        members: for each block the column of each of its qubits in ``slots_PS22``, or -1 for identity.
    """
    identity = torch.eye(2, dtype=slots_PS22.dtype, device=slots_PS22.device).expand(len(slots_PS22), 1, 2, 2)
    padded = torch.cat([slots_PS22, identity], dim=1)
    order = torch.tensor(members, device=padded.device) % padded.shape[1]
    gates_NkP22 = padded.transpose(0, 1)[order.flatten()].unflatten(0, order.shape)
    factors = list(gates_NkP22.unbind(1))
    while len(factors) > 1:
        pairs = [_kron(upper, lower) for lower, upper in zip(factors[::2], factors[1::2], strict=False)]
        factors = pairs + factors[2 * len(pairs) :]
    return factors[0]


def _kron(upper: Tensor, lower: Tensor) -> Tensor:
    """Kronecker product of (N, P, x, x) and (N, P, y, y) matrices, shape (N, P, x * y, x * y).

    As an outer product of vectors and one permutation: then its gradient is small matrix products too, no slow sums.
    """
    x, y = upper.shape[-1], lower.shape[-1]
    outer = torch.matmul(upper.flatten(-2)[..., :, None], lower.flatten(-2)[..., None, :])
    ordered = outer.unflatten(-1, (y, y)).unflatten(-3, (x, x)).transpose(-3, -2)
    return ordered.reshape(*outer.shape[:2], x * y, x * y)
