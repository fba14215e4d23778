"""Differentiable augmentation: each change is found again in the pixels."""

import itertools

import pytest
import torch

from qgan_qiskit.training.diff_augment import diff_augment

POLICIES = [
    ",".join(chosen) for n in (1, 2, 3) for chosen in itertools.permutations(("color", "translation", "cutout"), n)
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=6, side=16, seed=1):
    return torch.rand(count, 3, side, side, generator=seeded(seed)) * 2 - 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shape_type_gradient_and_repeatability(policy, dtype):
    real = images().to(dtype).requires_grad_()
    changed = diff_augment(real, policy, seeded())
    assert (changed.shape, changed.dtype) == (real.shape, dtype)
    changed.square().sum().backward()
    assert (real.grad.flatten(1).abs().sum(dim=1) > 0).all()
    assert torch.equal(changed, diff_augment(real, policy, seeded()))
    assert not torch.equal(changed, diff_augment(real, policy, seeded(1)))
    global_state = torch.get_rng_state()
    diff_augment(real, policy, seeded())
    assert torch.equal(torch.get_rng_state(), global_state)


def test_none_is_the_same_tensor():
    real = images()
    assert diff_augment(real, "none", seeded()) is real


@pytest.mark.parametrize("side", [16, 32])
def test_translation_is_a_shift_and_nothing_else(side):
    """Compared with every possible shift, built by slicing; all of them occur."""
    count, reach = 800, side // 8
    real = images(count, side)
    moved = diff_augment(real, "translation", seeded())
    found = set()
    for dy, dx in itertools.product(range(-reach, reach + 1), repeat=2):
        shifted = torch.zeros_like(real)
        target = (slice(max(dy, 0), side + min(dy, 0)), slice(max(dx, 0), side + min(dx, 0)))
        source = (slice(max(-dy, 0), side - max(dy, 0)), slice(max(-dx, 0), side - max(dx, 0)))
        shifted[:, :, *target] = real[:, :, *source]
        same = (shifted == moved).flatten(1).all(dim=1).nonzero().flatten().tolist()
        found |= {(index, dy, dx) for index in same}
    assert len(found) == count
    assert len({shift for _, *shift in map(list, found) for shift in [tuple(shift)]}) == (2 * reach + 1) ** 2


@pytest.mark.parametrize("side", [16, 32, 64])
def test_cutout_is_one_square_of_half_the_side_cut_by_the_border(side):
    real = images(600, side)
    changed = diff_augment(real, "cutout", seeded())
    gone = (changed == 0).all(dim=1)
    assert torch.equal(changed, torch.where(gone[:, None], 0.0, real))
    heights, widths = gone.any(dim=2).sum(dim=1), gone.any(dim=1).sum(dim=1)
    # A rectangle: as many pixels as its rows times its columns, and the rows and columns are neighbors.
    assert torch.equal(gone.flatten(1).sum(dim=1), heights * widths)
    for lines in (gone.any(dim=2), gone.any(dim=1)):
        assert (lines.int().diff(dim=1).abs().sum(dim=1) <= 2).all()
    for lengths in (heights, widths):
        assert lengths.max() == side // 2
        assert lengths.min() >= side // 4
        # Whole for a center that is a quarter away from both borders: about half of them.
        assert 0.4 < (lengths == side // 2).float().mean() < 0.66


def test_color_changes_brightness_saturation_and_contrast_within_their_ranges():
    real = images(500).double()
    changed = diff_augment(real, "color", seeded())
    gray, new_gray = real.mean(dim=1, keepdim=True), changed.mean(dim=1, keepdim=True)

    def factor(after, before):
        ratio = (after * before).flatten(1).sum(dim=1) / before.square().flatten(1).sum(dim=1)
        torch.testing.assert_close(after, ratio[:, None, None, None] * before)  # The same factor at every pixel.
        return ratio

    level, new_level = gray.mean(dim=(2, 3), keepdim=True), new_gray.mean(dim=(2, 3), keepdim=True)
    contrast = factor(new_gray - new_level, gray - level)
    saturation = factor(changed - new_gray, real - gray) / contrast
    for values, low, high in ((contrast, 0.5, 1.5), (saturation, 0.0, 2.0), ((new_level - level).flatten(), -0.5, 0.5)):
        width = high - low
        assert low - 1e-6 <= values.min() < low + 0.02 * width
        assert high - 0.02 * width < values.max() <= high + 1e-6
