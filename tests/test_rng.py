"""Generators are pure functions of seed and key, and their bits are documented."""

import itertools
import zlib

import numpy as np
import pytest
import torch

from qgan_qiskit.rng import numpy_generator, philox_generator, seeded_generator, seeded_global_rng


def test_a_draw_depends_on_seed_and_key_alone():
    keys = [(), ("grid",), *[("noise", step) for step in range(50)], *[("discriminator", s) for s in range(50)]]
    draws = {}
    for seed, key in itertools.product((0, 1, 2**40), keys):
        first = torch.rand(4, generator=seeded_generator(seed, *key))
        torch.rand(5)
        assert torch.equal(first, torch.rand(4, generator=seeded_generator(seed, *key)))
        draws[tuple(first.tolist())] = (seed, key)
    assert len(draws) == 3 * len(keys)
    state = torch.get_rng_state()
    seeded_generator(1, "x", 2)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("seed", [0, 1, 2**40, 2**63 - 1])
def test_the_bits_are_those_of_numpys_seed_sequence(seed):
    """Runs, intervals and studies that are on disk depend on them."""
    words = [zlib.crc32(b"noise"), 3]
    state = np.random.SeedSequence([seed, 2, *words]).generate_state(1, np.uint64)[0]
    assert seeded_generator(seed, "noise", 3).initial_seed() == int(state)
    assert numpy_generator(seed).random() == np.random.default_rng(seed).random()
    sequence = np.random.SeedSequence([seed, *words])
    assert numpy_generator(seed, "noise", 3).random() == np.random.default_rng(sequence).random()
    assert philox_generator(seed, "noise", 3).random() == np.random.Generator(np.random.Philox(sequence)).random()
    with seeded_global_rng(seed, torch.device("cpu"), "dropout"):
        drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=seeded_generator(seed, "global", "dropout")))
