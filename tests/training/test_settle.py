"""Batch-norm statistics of the averaged weights, against those of the same images worked out in one go."""

import pytest
import torch
from torch import nn

from qgan_qiskit.models import build
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs.load import open_generator
from qgan_qiskit.runs.sample import generate
from qgan_qiskit.training import ema as room
from qgan_qiskit.training.ema import update_bn
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


def test_settling_is_a_function_of_weights_and_seed(tiny):
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
    monkeypatch.setattr(room, "seeded", None)
    update_bn(nn.Linear(2, 2), 0, CPU)


def test_samples_of_a_run_are_drawn_with_settled_statistics(tiny, tmp_path):
    """Also with the averaging switched off: the saved statistics fit the saved weights."""
    config = tiny(training={"ema_decay": 0.0})
    (run,) = fit(config, tmp_path)
    generator, _ = open_generator(run)
    before = torch.stack([image for _, image in generate(generator, range(4))])
    update_bn(generator, config.training.seed, CPU)
    after = torch.stack([image for _, image in generate(generator, range(4))])
    assert torch.equal(before, after)
