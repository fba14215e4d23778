"""Numbers of trained parameters, against the published figures and arithmetic done by hand."""

import pytest
import torch

from qgan_qiskit.config import PRESETS, DcganConfig, HybridQConfig, MosaiqConfig, QgpatchConfig, preset
from qgan_qiskit.models import build, parameter_count, quantum_counts


def built(model, name, classical_baseline=False):
    config = preset(model, name)
    if classical_baseline:
        config = config.updated({"model": {"classical_baseline": True}})
    return build(config.model, config.data.resolution, torch.Generator().manual_seed(0), channels=config.data.channels)


def count(module):
    return sum(parameter.numel() for _, parameter in module.named_parameters())


def test_dcgan_has_the_tutorials_6342272():
    generator, discriminator = built("dcgan", "default")
    assert (count(generator), count(discriminator)) == (3_576_704, 2_765_568)
    assert parameter_count(generator, discriminator) == 6_342_272


def test_paper_preset_has_the_3692239_of_the_literal_reading():
    """The paper's total: conv4x4 3->5 s2, FC 5120->100, 10x10x6 angles, FC 100->1x64x64, conv3x3 1->3, DCGAN's discriminator."""
    generator, discriminator = built("hybridq", "paper")
    parts = {
        "image_encoder.convolution": 3 * 5 * 4 * 4 + 5,
        "image_encoder.project": 5 * 32 * 32 * 100 + 100,
        "circuits": 10 * 10 * 6,
        "decoder.project": 100 * 64 * 64 + 64 * 64,
        "decoder.convolution": 1 * 3 * 3 * 3 + 3,
    }
    assert list(parts.values()) == [245, 512_100, 600, 413_696, 30]
    assert {name: count(generator.get_submodule(name)) for name in parts} == parts
    assert count(generator) == sum(parts.values())
    assert parameter_count(generator, discriminator) == sum(parts.values()) + 2_765_568 == 3_692_239


# Angles of the circuits, and numbers of the discriminator: F -> 64 -> 16 -> 1 with biases for MosaiQ and QGPatch.
SMALL = {
    ("mosaiq", "paper"): (8 * 5 * 6, 40 * 64 + 64 + 64 * 16 + 16 + 16 + 1),
    ("mosaiq", "default"): (10 * 10 * 6, 100 * 64 + 64 + 64 * 16 + 16 + 16 + 1),
    ("mosaiq", "scaled"): (10 * 10 * 6, 100 * 64 + 64 + 64 * 16 + 16 + 16 + 1),
    ("qgpatch", "default"): (4 * 5 * 5, 64 * 64 + 64 + 64 * 16 + 16 + 16 + 1),
    ("qgpatch", "paper"): (4 * 5 * 5, 64 * 64 + 64 + 64 * 16 + 16 + 16 + 1),
    ("qgpatch", "tutorial"): (4 * 5 * 6, 64 * 64 + 64 + 64 * 16 + 16 + 16 + 1),
    ("qgpatch", "unnormalised"): (4 * 5 * 5, 64 * 64 + 64 + 64 * 16 + 16 + 16 + 1),
}


@pytest.mark.parametrize("classical_baseline", [False, True], ids=["circuits", "classical_baseline"])
@pytest.mark.parametrize(("model", "name"), list(SMALL), ids="-".join)
def test_mosaiq_and_qgpatch_train_their_angles_and_a_small_discriminator(model, name, classical_baseline):
    angles, judge = SMALL[model, name]
    generator, discriminator = built(model, name, classical_baseline)
    assert sum(p.numel() for p in generator.quantum_parameters()) == count(generator) == angles
    assert count(discriminator) == judge
    assert parameter_count(generator, discriminator) == angles + judge


def test_mosaiqs_3921_and_8121_and_qgpatchs_100_angles_are_the_published_figures():
    assert sum(SMALL["mosaiq", "paper"]) == 240 + 3_681 == 3_921
    assert sum(SMALL["mosaiq", "scaled"]) == 8_121
    assert SMALL["qgpatch", "paper"][0] == 100


def test_every_preset_builds_with_its_quantum_weights_apart():
    for model, names in PRESETS.items():
        for name in names:
            generator, _ = built(model, name)
            quantum = {"hybridq": 600, "dcgan": 0, "mediq": 640, "transfer": 15}.get(
                model, SMALL.get((model, name), (0,))[0]
            )
            assert sum(p.numel() for p in generator.quantum_parameters()) == quantum


def test_gray_images_take_fewer_numbers_only_where_channels_are_counted():
    for config, fewer in (
        # Of three channels two go: 4x4 kernels of DCGAN's last and first convolution, width 64.
        (DcganConfig(), 2 * 64 * 4 * 4 + 2 * 64 * 4 * 4),
        # The decoder's last 3x3 convolution from 16 channels with its bias, and the discriminator's first of width 48.
        (HybridQConfig(), 2 * (16 * 3 * 3 + 1) + 2 * 48 * 4 * 4),
        # Also the encoder's 4x4 convolution to 5 channels; this decoder ends in a 3x3 convolution from 1 channel.
        (HybridQConfig(mode="fusion", decoder="paper"), 2 * (9 + 1) + 2 * 5 * 4 * 4 + 2 * 48 * 4 * 4),
        (MosaiqConfig(), 0),
    ):
        three, one = (
            parameter_count(*build(config, 64, torch.Generator().manual_seed(0), channels=channels))
            for channels in (3, 1)
        )
        assert three - one == fewer


def test_a_baseline_of_a_patch_spends_its_25_parameters_on_5_inputs_and_16_outputs():
    generator, _ = build(QgpatchConfig(classical_baseline=True), 8, torch.Generator().manual_seed(0), channels=1)
    classical_baseline = generator.circuits
    assert classical_baseline.first_PQR.shape == (4, 5, 1)
    assert classical_baseline.second_PRO.shape == (4, 1, 16)
    assert classical_baseline.diagonal.shape == (4, 4)


@pytest.mark.parametrize("mode", ["image", "latent", "fusion"])
@pytest.mark.parametrize(
    ("qubits", "reps", "count_of"), [(10, 6, 10), (3, 2, 2), (3, 1, 4), (2, 5, 3), (1, 1, 1), (4, 3, 2)]
)
def test_baseline_has_exactly_as_many_parameters_as_the_circuits(mode, qubits, reps, count_of):
    sizes = {
        "num_qubits": qubits,
        "reps": reps,
        "sub_generators": count_of,
        "decoder_width": 16,
        "discriminator_width": 8,
    }
    quantum, classical_baseline = (
        build(
            HybridQConfig(mode=mode, classical_baseline=classical_baseline, **sizes),
            16,
            torch.Generator().manual_seed(0),
        )
        for classical_baseline in (False, True)
    )
    assert sum(p.numel() for p in quantum[0].quantum_parameters()) == count_of * qubits * reps
    assert sum(p.numel() for p in classical_baseline[0].quantum_parameters()) == count_of * qubits * reps
    assert parameter_count(*classical_baseline) == parameter_count(*quantum)
    assert quantum_counts(*quantum) == (count_of * qubits * reps, 0)
    assert quantum_counts(*classical_baseline) == (0, count_of * qubits * reps)


def test_latent_discriminator_has_mosaiqs_sizes():
    """At 10x10 features 100-64-16-1, 7,521 parameters."""
    _, discriminator = build(HybridQConfig(mode="latent", decoder_width=8), 16, torch.Generator().manual_seed(0))
    assert count(discriminator) == 100 * 64 + 64 + 64 * 16 + 16 + 16 + 1 == 7_521


def test_spectral_norm_replaces_the_batch_norms_numbers():
    batch, spectral = (
        build(DcganConfig(discriminator_norm=norm), 64, torch.Generator().manual_seed(0))[1]
        for norm in ("batch", "spectral")
    )
    assert count(batch) - count(spectral) == 2 * (128 + 256 + 512)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in spectral.modules())
