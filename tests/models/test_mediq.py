"""MediQ-GAN: published parameter counts, streams, prototypes, classes, and images that are functions of their latents."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.circuits.families import mediq_ansatz
from qgan_qiskit.config import MediqConfig, RunConfig, preset
from qgan_qiskit.errors import DataError
from qgan_qiskit.models import build, parameter_count
from qgan_qiskit.models.mediq import QuantumStream
from qgan_qiskit.models.prototypes import Prototypes, read_prototypes, write_prototypes

EIGHT = tuple("abcdefgh")
SMALL = {"latent_size": 6, "sub_generators": 3, "num_qubits": 3, "reps": 2, "prototype_width": 10, "critic_width": 8}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(resolution=16, classes=("x", "y", "z"), **changes):
    return build(MediqConfig(**{**SMALL, **changes}), resolution, seeded(), classes=classes)


def test_parameters_are_those_of_the_published_code():
    """8.64M and 0.72M, 0.73M for the prototypes, 2.82M for the critic; 640 angles; by hand where they are few."""
    for name, expected in (("paper", 8_644_275), ("style2", 722_051)):
        model = preset("mediq", name).model.model_copy(update={"prototype_skips": False})
        generator, critic = build(model, 64, seeded(), classes=EIGHT)
        prototypes = parameter_count(generator.prototypes)
        assert parameter_count(generator) - prototypes == expected
        assert prototypes == 8 * 1280 + (1280 * 512 + 512) + (512 * 128 + 128) + 8 == 731_784
        assert parameter_count(critic) == 2_822_785
        assert sum(p.numel() for p in generator.quantum_parameters()) == 5 * 16 * 8 == 640
    skips, _ = build(preset("mediq", "style2").model, 64, seeded(), classes=EIGHT)
    assert parameter_count(skips) - 722_051 - 731_784 == 128 * (32 + 128 + 96)


def test_a_decoder_with_batch_norm_normalizes_what_it_computes():
    plain, _ = made(32)
    generator, _ = made(32, decoder_norm="batch")
    # Two blocks of two convolutions, the last one, and what comes in: a gain and an offset for each channel.
    assert parameter_count(generator) - parameter_count(plain) == 2 * (128 + 128 + 96 + 96 + 32 + 32)
    z = generator.sample_latent(64, seeded(1))
    seen = {}
    for number, norm in enumerate(generator.decoder.norms):
        norm.register_forward_hook(lambda _, __, output, number=number: seen.update({number: output.detach().clone()}))
    generator(z)
    assert sorted(seen) == list(range(6))
    for maps in seen.values():
        mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False)
        assert mean.abs().max() < 1e-4
        # What is 0 everywhere stays so; all else has variance 1.
        assert torch.all((variance < 1e-3) | ((variance - 1).abs() < 0.05))
        assert (variance > 0.9).any()
    with pytest.raises(ValueError, match="decoder_norm"):
        RunConfig.model_validate({"model": {"name": "mediq", "decoder": "vanilla", "decoder_norm": "batch"}})


def test_circuit_reads_the_mean_of_x():
    ansatz, each = mediq_ansatz(4, 2), mediq_ansatz(4, 2, readout="each")
    assert (ansatz.num_observables, each.num_observables) == (1, 4)
    random = np.random.default_rng(0)
    values = random.uniform(-3, 3, len(ansatz.circuit.parameters))
    state = Statevector(ansatz.circuit.assign_parameters(values))
    single = [state.expectation_value(observable).real for observable in each.observables]
    assert state.expectation_value(ansatz.observables[0]).real == pytest.approx(np.mean(single), abs=1e-12)
    gates = ansatz.circuit.count_ops()
    assert (gates["ry"], gates["rx"], gates["cz"]) == (4 + 8, 4, 6)
    assert build_circuit_spec(MediqConfig(quantum_stream="full")).num_observables == 16


def test_circuits_sit_at_the_published_sites_and_leave_the_others_at_0():
    stream = QuantumStream(4, 5, 3, 1)
    assert stream.sites_P.tolist() == [0, 4, 8, 11, 15]
    torch.nn.init.zeros_(stream.merge.bias)
    outputs_BPO = torch.zeros(1, 5, 1)
    outputs_BPO[0, 3, 0] = 1.0
    # Site 11 is row 2, column 3 of 4 x 4: the lower right part of the plane of 8 x 8.
    plane = stream(outputs_BPO)[0].abs().sum(0)
    assert int(plane.argmax()) in {row * 8 + column for row in (4, 5) for column in (6, 7)}
    assert plane[:3].abs().max() == 0


def test_normalized_angles_stay_where_a_circuit_is_smooth_however_large_the_features_are():
    stream = QuantumStream(4, 5, 16, 1, layer_norm=True)
    for weight in (stream.project.weight, stream.align.weight):
        torch.nn.init.normal_(weight, std=0.1, generator=seeded(2))
    torch.nn.init.zeros_(stream.project.bias)
    torch.nn.init.zeros_(stream.align.bias)
    # Large enough that what keeps the division from 0 says nothing.
    features = 100 * torch.randn(6, 32, 8, 8, generator=seeded(1))
    once, far = stream.angles(features), stream.angles(1000 * features)
    for angles_BPQ in (once, far):
        assert angles_BPQ.shape == (6, 5, 16)
        assert angles_BPQ.mean(2).abs().max() < 1e-5
        torch.testing.assert_close(angles_BPQ.std(2, unbiased=False), torch.ones(6, 5), rtol=1e-3, atol=0)
    torch.testing.assert_close(once, far, rtol=1e-2, atol=1e-3)
    plain = QuantumStream(4, 5, 16, 1)
    plain.load_state_dict(stream.state_dict())
    # One angle more for all qubits changes nothing, a factor neither: what is left is the direction.
    ratio = (plain.angles(features) - plain.angles(features).mean(2, keepdim=True)) / once
    torch.testing.assert_close(ratio, ratio.mean(2, keepdim=True).expand_as(ratio), rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="angle_norm"):
        RunConfig.model_validate({"model": {"name": "mediq", "angle_norm": "layer", "num_qubits": 1}})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"angle_norm": "layer"},
        {"decoder": "vanilla"},
        {"encoder": "fc"},
        {"quantum_stream": "full"},
        {"prototypes": False},
        {"prototype_skips": False},
        {"classical_baseline": True},
        {"quantum_fraction": 0.25},
    ],
    ids=str,
)
@pytest.mark.parametrize("resolution", [16, 64])
def test_every_variant_makes_images_and_every_weight_learns(changes, resolution):
    if resolution == 64 and changes.get("quantum_stream") == "full":
        pytest.skip("the streams know nothing of the resolution")
    generator, critic = made(resolution, **changes)
    z_BZ = generator.sample_latent(4, seeded(1))
    inputs = generator.discriminator_inputs(torch.zeros(4, 3, resolution, resolution), z_BZ)
    assert inputs.fake.shape == (4, 3, resolution, resolution)
    assert inputs.fake.abs().max() <= 1
    loss = critic(inputs.fake, inputs.labels_B).sum()
    if inputs.regularizer is not None:
        loss = loss + inputs.regularizer
    loss.backward()
    # Skips and noise start at 0, which does not keep them from learning.
    still = [name for name, p in generator.named_parameters() if p.numel() and (p.grad is None or not p.grad.any())]
    assert still == []


def test_baseline_has_as_many_weights_as_the_circuits():
    for changes in ({}, {"num_qubits": 16, "reps": 8, "sub_generators": 5}):
        circuits, _ = made(**changes)
        classical_baseline, _ = made(**changes, classical_baseline=True)
        assert parameter_count(circuits) == parameter_count(classical_baseline)


def test_an_image_is_a_function_of_its_latent_alone():
    generator, _ = made(32)
    with torch.no_grad():
        # Noise counts once it has learned to.
        for strength in generator.decoder.strengths:
            strength.fill_(0.5)
        z_BZ = generator.eval().sample_latent(6, seeded(2))
        images = generator(z_BZ)
        np.testing.assert_allclose(generator(z_BZ.flip(0)).flip(0), images, atol=1e-5)
        other = z_BZ.clone()
        other[:, -2] += 1
        assert (generator(other) - images).abs().amax((1, 2, 3)).min() > 1e-3


def test_classes_can_be_asked_for_and_matter():
    generator, critic = made(16)
    z_BZ = generator.sample_latent(300, seeded(3))
    counts = torch.bincount(generator.labels(z_BZ), minlength=3)
    assert (counts - 100).abs().max() < 5 * math.sqrt(300 * 2 / 9)
    wanted = torch.tensor([2, 0, 1])
    same = generator.with_labels(z_BZ[:3], wanted)
    assert torch.equal(generator.labels(same), wanted)
    assert torch.equal(same[:, :-1], z_BZ[:3, :-1])
    images = generator(generator.with_labels(z_BZ[:1].expand(3, -1), wanted))
    assert (images[0] - images[1]).abs().max() > 1e-3
    scores = critic(images[:1].expand(3, -1, -1, -1), wanted)
    assert scores.unique().numel() == 3
    generator.set_class(1)
    assert set(generator.labels(generator.sample_latent(20, seeded(4))).tolist()) == {1}


def test_latents_lie_around_their_class():
    prototypes = Prototypes(3, 10, 6, seeded())
    assert prototypes.centers().shape == (3, 6)
    with torch.no_grad():
        prototypes.log_scale_K.copy_(torch.tensor([-9.0, 0.0, 9.0]))
    np.testing.assert_allclose(prototypes.scales().detach(), [0.2, math.log(2), 0.8], atol=1e-6)


def test_crowding_is_the_mean_of_what_lacks_to_distance_1():
    prototypes = Prototypes(3, 2, 6, seeded())
    with torch.no_grad():
        # Unit vectors at 0, 30 and 90 degrees: distances 2 sin(half the angle).
        angles = torch.tensor([0.0, math.pi / 6, math.pi / 2])
        prototypes.vectors_KF.copy_(3 * torch.stack([angles.cos(), angles.sin()], 1))
    lacks = [max(0.0, 1 - 2 * math.sin(angle / 2)) for angle in (math.pi / 6, math.pi / 2, math.pi / 3)]
    assert prototypes.crowding().item() == pytest.approx(np.mean(lacks), abs=1e-6)
    with torch.no_grad():
        prototypes.vectors_KF.copy_(torch.ones(3, 2))
    prototypes.crowding().backward()
    assert prototypes.vectors_KF.grad.isfinite().all()


def test_prototypes_of_a_file_are_taken_by_name(tmp_path):
    path = tmp_path / "prototypes.npz"
    vectors = np.arange(40.0).reshape(4, 10) + 1
    write_prototypes(path, ("W", "Z", "X", "Y"), vectors, {"weights": "none"})
    generator, _ = made(prototype_file=str(path))
    generator.fit_to_data(np.zeros((2, 16, 16, 3), np.uint8))
    found = generator.prototypes.vectors_KF.detach().numpy()
    expected = vectors[[2, 3, 1]]
    np.testing.assert_allclose(found, expected / np.sqrt((expected**2).mean(1, keepdims=True)), rtol=1e-5)
    with pytest.raises(DataError, match="no prototype of class Q"):
        read_prototypes(path, ("x", "Q"))
    with pytest.raises(DataError, match="do not fit"):
        made(prototype_file=str(path), prototype_width=9)[0].fit_to_data(np.zeros((2, 16, 16, 3), np.uint8))


def _one_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


WRONG_FILES = {
    "text": (lambda path: path.write_bytes(b"no prototypes"), "no file of prototypes"),
    "empty": (lambda path: path.write_bytes(b""), "no file of prototypes"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:200]), "no file of prototypes"),
    "one array": (_one_array, "no file of prototypes"),
    "other arrays": (lambda path: np.savez(path, images=np.zeros(3)), "no file of prototypes"),
    "too few rows": (
        lambda path: np.savez(path, classes=["x", "y"], vectors=np.zeros((1, 3))),
        "is damaged",
    ),
    "no rows": (lambda path: np.savez(path, classes=["x"], vectors=np.zeros(1)), "is damaged"),
    "no numbers": (lambda path: np.savez(path, classes=["x"], vectors=[["a"]]), "is damaged"),
    "gone": (lambda path: path.unlink(), "cannot be read"),
}


@pytest.mark.parametrize("what", WRONG_FILES)
def test_what_is_no_file_of_prototypes(what, tmp_path):
    path = tmp_path / "prototypes.npz"
    write_prototypes(path, ("x",), np.ones((1, 3)), {})
    spoil, message = WRONG_FILES[what]
    spoil(path)
    with pytest.raises(DataError, match=message) as caught:
        read_prototypes(path, ("x",))
    assert str(caught.value).startswith(str(path))
    assert "pickle" not in str(caught.value)
