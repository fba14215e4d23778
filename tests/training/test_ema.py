"""The moving average against its formula, and its batch-norm statistics against those of all images at once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from qgan_qiskit.models import build
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import sample
from qgan_qiskit.training import ema as ema_module
from qgan_qiskit.training.ema import Ema, update_bn
from qgan_qiskit.workflows.fit import fit

CPU = torch.device("cpu")


def norms(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize("model", [{}, {"classical_baseline": True}, {"mode": "fusion"}, {"name": "dcgan"}])
def test_statistics_of_the_first_layer_are_those_of_all_images_together(model, tiny):
    """Only the first layer sees the same numbers whatever the statistics behind it are."""
    config = tiny(model=model)
    generator = build(config.model, 16, torch.Generator().manual_seed(3))[0].eval()
    seen = []
    hook = norms(generator)[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    update_bn(generator, 5, CPU)
    hook.remove()
    values = torch.cat(seen)
    assert len(values) == 1024
    torch.testing.assert_close(norms(generator)[0].running_mean, values.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)
    # A mean of the batches' variances misses what their means differ by, a thousandth or so.
    torch.testing.assert_close(norms(generator)[0].running_var, values.var(dim=(0, 2, 3)), rtol=0.05, atol=1e-6)


def test_statistics_are_a_function_of_weights_and_seed(tiny):
    config = tiny()
    results = []
    for seed, stir in ((1, False), (1, True), (2, False)):
        generator = build(config.model, 16, torch.Generator().manual_seed(3))[0].eval()
        if stir:
            for layer in norms(generator):
                layer.running_mean.normal_(generator=seeded_generator(8, "stir"))
                layer.running_var.fill_(7.0)
        update_bn(generator, seed, CPU)
        assert all(layer.momentum == 0.1 and not layer.training for layer in norms(generator))
        results.append(torch.cat([torch.cat([n.running_mean, n.running_var]) for n in norms(generator)]))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_a_network_without_batch_norm_is_left_alone(monkeypatch):
    monkeypatch.setattr(ema_module, "seeded_generator", None)
    update_bn(nn.Linear(2, 2), 0, CPU)


def test_samples_of_a_run_use_the_updated_statistics(tiny, tmp_path):
    """Also with the averaging switched off: the saved statistics fit the saved weights."""
    config = tiny(training={"ema_decay": 0.0})
    (run,) = fit(config, tmp_path)
    generator, _ = load_generator(run)
    before = torch.stack([image for _, image in sample(generator, range(4))])
    update_bn(generator, config.training.seed, CPU)
    after = torch.stack([image for _, image in sample(generator, range(4))])
    assert torch.equal(before, after)


class Follower(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


@given(st.floats(0, 0.9999), st.integers(1, 30), st.integers(0, 1000))
def test_average_follows_its_formula(decay, steps, seed):
    module = Follower()
    ema = Ema(module, decay)
    expected = np.zeros((3, 2))
    numbers = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        weights = numbers.normal(size=(3, 2))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weights))
            module.count.add_(1)
        ema.update(step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * weights
        np.testing.assert_allclose(ema.average["weight"].numpy(), expected, atol=1e-5)
        assert ema.average["count"] == step
    if decay == 0:
        assert torch.equal(ema.average["weight"], module.weight)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_applied_average_leaves_everything_as_it_was(training, fails):
    module = Follower().train(training)
    ema = Ema(module, 0.5)
    with torch.no_grad():
        module.weight.fill_(1.0)
    pointer = module.weight.data_ptr()

    class Stop(BaseException):
        pass

    try:
        with ema.applied():
            assert not module.training
            assert torch.equal(module.weight, torch.zeros(3, 2))
            if fails:
                raise Stop
    except Stop:
        pass
    assert torch.equal(module.weight, torch.ones(3, 2))
    assert module.weight.data_ptr() == pointer
    assert module.training is training
    assert torch.equal(ema.average["weight"], torch.zeros(3, 2))
