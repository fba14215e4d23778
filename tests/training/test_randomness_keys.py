"""Seeds with keys: pure functions, apart for every key."""

import itertools

import torch

from qgan_qiskit.rng import seeded_generator


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
