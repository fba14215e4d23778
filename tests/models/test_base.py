"""MosaiQ's adaptive bound against its formula (arXiv 2308.11096)."""

import math

from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.models.base import AdaptiveLatentRange

LOSSES = st.floats(0, 1e4, allow_nan=False)
POSITIVE = st.floats(1e-3, 1e3)


def test_starts_at_pi_over_8():
    assert AdaptiveLatentRange().high == math.pi / 8


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=8))
def test_formula(steps):
    noise, first = AdaptiveLatentRange(), None
    for discriminator, generator in steps:
        ratio = discriminator / generator
        first = ratio if first is None else first
        expected = math.pi / 8 + 5 * math.pi / 8 * max(0.0, math.tanh(ratio - first))
        assert math.isclose(noise.update(discriminator, generator), expected, rel_tol=1e-12)
        assert noise.high == noise.update(discriminator, generator)


@given(st.lists(st.tuples(LOSSES, LOSSES), min_size=1, max_size=8))
def test_bounds_hold_for_every_loss_also_one_that_underflowed_to_0(steps):
    noise = AdaptiveLatentRange()
    for discriminator, generator in steps:
        assert math.pi / 8 <= noise.update(discriminator, generator) <= 3 * math.pi / 4
        assert math.isfinite(noise.first_ratio)


def test_first_step_keeps_the_narrowest_range_and_a_losing_discriminator_widens_it():
    noise = AdaptiveLatentRange()
    assert noise.update(1.4, 0.7) == math.pi / 8
    assert noise.update(1.4, 1.4) == math.pi / 8
    assert noise.update(2.1, 0.7) > math.pi / 4
