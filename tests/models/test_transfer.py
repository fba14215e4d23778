"""GANs with transfer learning: blocks of equal size, what learns and what does not, gradients through a quantum discriminator."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector
from torchvision.models import resnet18

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import PRESETS, RunConfig, TransferConfig, preset
from qgan_qiskit.device import keep_freed_memory
from qgan_qiskit.models import build, parameter_count, quantum_counts
from qgan_qiskit.models.base import BuildContext
from qgan_qiskit.models.transfer import TransferDiscriminator
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.workflows.fit import fit, resume

FOUR = ("none", "generator", "discriminator", "both")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a file of a ResNet-18 that looks at images, if only at random."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet18().state_dict(), path)
    return str(path)


def made(weights=None, resolution=32, **changes):
    config = TransferConfig(**{"decoder_width": 16, "weights": weights, **changes})
    return build(config, resolution, seeded())


@pytest.mark.parametrize("resolution", [32, 64])
def test_blocks_have_15_weights_each_and_all_configurations_as_many_in_all(resolution):
    counts = set()
    for quantum in FOUR:
        generator, discriminator = made(resolution=resolution, quantum=quantum)
        circuits = {"none": 0, "generator": 15, "discriminator": 15, "both": 30}[quantum]
        assert quantum_counts(generator, discriminator) == (circuits, 30 - circuits)
        assert parameter_count(generator.circuits) == parameter_count(discriminator.block) == 15
        counts.add(parameter_count(generator, discriminator))
        images = generator(generator.sample_latent(3, seeded(1)))
        assert images.shape == (3, 3, resolution, resolution)
        assert discriminator(images).shape == (3,)
    assert len(counts) == 1


@pytest.mark.parametrize("resolution", [16, 32])
def test_kernels_learn_only_where_they_see_pixels(resolution):
    # At 16 pixels the last stage halves a single one: eight of nine weights of its first kernel see nothing but padding.
    keep_freed_memory()
    generator, discriminator = made(resolution=resolution)
    images = generator(generator.sample_latent(8, seeded(1))).detach()
    with torch.autocast("cpu", torch.bfloat16):
        features = discriminator.features(images)
    assert features.dtype == (torch.float32 if resolution == 16 else torch.bfloat16)
    kernels = discriminator.backbone.layer4[0].conv1.weight
    # What is not written to shows what lay there before.
    for _ in range(3):
        left = [torch.full((size, kernels.numel()), math.nan) for size in (1, 2, 3)]
        del left
    features.sum().backward()
    sees = torch.zeros(3, 3)
    if resolution == 16:
        sees[1, 1] = 1
    else:
        sees[1:, 1:] = 1
    assert torch.equal((kernels.grad != 0).any(0).any(0), sees.bool())
    assert kernels.grad.isfinite().all()


def test_the_four_presets_differ_in_their_blocks_alone():
    four = {"default", "none", "generator", "discriminator"}
    assert set(PRESETS["transfer"]) == four | {"unfrozen"}
    dumps = {}
    for name in four:
        config = preset("transfer", name)
        dump = config.model_dump(exclude={"preset"})
        quantum = dump["model"].pop("quantum")
        dumps[quantum] = json.dumps(dump)
    assert set(dumps) == set(FOUR)
    assert len(set(dumps.values())) == 1


def test_a_frozen_backbone_learns_nothing_and_keeps_its_statistics(weights):
    _, discriminator = made(weights)
    learning = {name for name, p in discriminator.named_parameters() if p.requires_grad}
    assert not any(name.startswith("backbone") for name in learning)
    assert {name.partition(".")[0] for name in learning} == {"reduce", "block", "score"}
    before = {name: buffer.clone() for name, buffer in discriminator.named_buffers()}
    discriminator.train()
    discriminator(torch.randn(4, 3, 32, 32, generator=seeded(2)))
    assert all(torch.equal(buffer, before[name]) for name, buffer in discriminator.named_buffers())


def test_last_stages_learn_when_asked_to_and_all_of_it_from_scratch(weights):
    _, two = made(weights, trained_stages=2)
    learning = {name.split(".")[1] for name, p in two.backbone.named_parameters(prefix="x") if p.requires_grad}
    assert learning == {"layer3", "layer4"}
    _, scratch = made()
    assert all(p.requires_grad for p in scratch.backbone.parameters())


def test_layers_that_the_file_lacks_learn(weights, tmp_path):
    state = {name: t for name, t in torch.load(weights).items() if not name.startswith("layer4")}
    torch.save(state, tmp_path / "part.pth")
    _, discriminator = made(str(tmp_path / "part.pth"))
    learning = {n.split(".")[0] for n, p in discriminator.backbone.named_parameters() if p.requires_grad}
    assert learning == {"layer4"}


def test_features_are_those_of_the_network_without_its_head(weights):
    _, discriminator = made(weights, normalization="imagenet", input_size=48)
    network = resnet18()
    network.load_state_dict(torch.load(weights))
    network.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 32, 32, generator=seeded(4)) * 2 - 1
    shown = torch.nn.functional.interpolate(images, size=(48, 48), mode="bilinear", align_corners=False)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    shown = ((shown + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
    with torch.no_grad():
        np.testing.assert_allclose(discriminator.features(images), network.eval()(shown), atol=1e-5)


@pytest.mark.parametrize("quantum", ["none", "generator"])
def test_a_classical_block_still_learns_far_from_where_it_started(weights, quantum):
    """Angles without limits may reach hundreds of radians: a circuit is as steep there, and the classical baseline must be."""
    steep = {}
    for head_angles in ("tanh", "linear"):
        _, discriminator = made(weights, quantum=quantum, head_angles=head_angles)
        with torch.no_grad():
            discriminator.reduce.weight.mul_(1000)
        images = (torch.rand(3, 3, 32, 32, generator=seeded(5)) * 2 - 1).requires_grad_()
        discriminator(images).sum().backward()
        steep[head_angles] = discriminator.reduce.bias.grad.norm().item()
    assert steep["linear"] > 0.05
    assert steep["tanh"] < 1e-6


@pytest.mark.parametrize("head_angles", ["tanh", "linear"])
def test_the_dressed_circuit_is_linear_circuit_linear(weights, head_angles):
    """By hand with Qiskit's state vector."""
    _, discriminator = made(weights, quantum="discriminator", head_angles=head_angles)
    images = torch.rand(3, 3, 32, 32, generator=seeded(5)) * 2 - 1
    ansatz = build_circuit_spec(discriminator.config)
    with torch.no_grad():
        reduced = discriminator.reduce(discriminator.features(images))
        angles = math.pi / 2 + (reduced if head_angles == "linear" else math.pi / 2 * torch.tanh(reduced))
        (connector,) = discriminator.block.connectors
        logits = []
        for row in angles:
            values = dict(zip(ansatz.input_parameters, row.tolist(), strict=True))
            values |= dict(zip(ansatz.weight_parameters, connector.weight.tolist(), strict=True))
            state = Statevector(ansatz.circuit.assign_parameters(values))
            seen = torch.tensor([state.expectation_value(o).real for o in ansatz.observables], dtype=torch.float32)
            logits.append(discriminator.score(seen).item())
        np.testing.assert_allclose(discriminator(images), logits, atol=1e-5)
    # The circuit is used over a fair part of its range.
    assert angles.std() > 0.05


@pytest.mark.parametrize("quantum", ["discriminator", "both"])
def test_gradients_reach_the_generator_through_the_quantum_discriminator(quantum, weights):
    """Of the circuit's angles and of a weight of the decoder, against finite differences in double precision."""
    generator, discriminator = made(weights, quantum=quantum, resolution=16)
    generator, discriminator = generator.double().eval(), discriminator.double().eval()
    z_BZ = generator.sample_latent(2, seeded(6)).double()

    def angles_of(images):
        return math.pi / 2 * (1 + torch.tanh(discriminator.reduce(discriminator.features(images))))

    def judged(images):
        # In double precision throughout: forward() hands the circuit single precision.
        return discriminator.score(discriminator.block(angles_of(images)[:, None]).flatten(1)).sum()

    def loss():
        with torch.autocast("cpu", enabled=False):
            features = generator.circuits(z_BZ[:, None]).flatten(1)
        return judged(generator.decoder(features))

    parameters = [next(iter(generator.circuits.parameters())), generator.decoder.project.weight]
    generator.zero_grad()
    loss().backward()
    for parameter in parameters:
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for place in (0, len(flat) // 2, len(flat) - 1):
            before, step = flat[place].item(), 1e-5
            values = []
            for shift in (step, -step):
                flat[place] = before + shift
                values.append(loss().item())
            flat[place] = before
            numeric = (values[0] - values[1]) / (2 * step)
            assert gradient[place].item() == pytest.approx(numeric, rel=1e-4, abs=1e-9)


def test_second_derivatives_of_the_circuit_are_refused():
    for training in ({"loss": "wgan-gp"}, {"r1_weight": 1.0}):
        with pytest.raises(ValueError, match="discriminator twice"):
            RunConfig.model_validate({"model": {"name": "transfer", "weights": "x"}, "training": training})
        RunConfig.model_validate(
            {"model": {"name": "transfer", "quantum": "generator", "weights": "x"}, "training": training}
        )
    with pytest.raises(ValueError, match="trained_stages"):
        RunConfig.model_validate({"model": {"name": "transfer", "trained_stages": 6}})


@pytest.fixture
def config(tiny, weights):
    base = tiny()
    model = TransferConfig(decoder_width=16, weights=weights)
    return base.model_copy(update={"model": model}).updated({"training": {"grid_every": 2, "batch_size": 4}})


def test_both_blocks_train_in_their_own_group_and_the_backbone_stays(config, weights, tmp_path):
    [run] = fit(config, tmp_path / "runs")
    from safetensors.torch import load_file

    newest = max((run / "checkpoints").glob("step-*"))
    saved, optimizer = (
        load_file(newest / "discriminator.safetensors"),
        load_file(newest / "discriminator_optimizer.safetensors"),
    )
    original = torch.load(weights)
    for name, tensor in original.items():
        if not name.startswith("fc."):
            assert torch.equal(saved[f"backbone.{name}"], tensor), name
    assert not any(name.startswith("backbone") for name in optimizer)
    assert any(name.startswith("block") for name in optimizer)


def test_a_run_goes_on_bit_for_bit_and_needs_no_weights_to_generate(config, weights, tmp_path, main):
    from tiny_runs import fingerprint

    [whole] = fit(config, tmp_path / "whole")
    [cut] = fit(config.updated({"training": {"steps": 2}}), tmp_path / "cut")
    resume(cut, {"training": {"steps": 6}})
    assert fingerprint(cut) == fingerprint(whole)
    text = (cut / "config.json").read_text().replace(weights, str(tmp_path / "gone.pth"))
    (cut / "config.json").write_text(text)
    generator, _ = load_generator(cut)
    assert generator.latent_size == 5
    status, _, err = main("generate", cut, "-n", "2", "--output", tmp_path / "images", "--backend", "shots")
    assert status == 0, err


def test_gray_images_are_shown_as_three_equal_channels(weights):
    config = TransferConfig(weights=weights)
    discriminator = TransferDiscriminator(config, BuildContext(32, seeded(), channels=1))
    images = torch.rand(2, 1, 32, 32, generator=seeded(7))
    with torch.no_grad():
        discriminator_of_color = TransferDiscriminator(config, BuildContext(32, seeded(), channels=3))
        expected = discriminator_of_color.features(images.expand(-1, 3, -1, -1))
        np.testing.assert_allclose(discriminator.features(images), expected, atol=1e-6)
