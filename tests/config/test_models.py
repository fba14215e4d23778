"""Rules between a model's settings and those of data and training, its traits, and its presets."""

import pytest
from pydantic import ValidationError

from qgan_qiskit.config import MODELS, PRESETS, DataConfig, HybridQConfig, RunConfig, preset, weight_files
from qgan_qiskit.errors import UsageError


@pytest.mark.parametrize("model", ["hybridq", "dcgan"])
def test_sizes_that_do_not_halve_down_to_4_are_refused(model):
    allowed = {16, 32, 64, 128, 256, 512}
    for resolution in range(16, 513, 16):
        if resolution in allowed:
            RunConfig(model={"name": model}, data=DataConfig(resolution=resolution))
        else:
            with pytest.raises(ValidationError, match=f"16, 32, 64, 128, 256 or 512.*not {resolution}"):
                RunConfig(model={"name": model}, data=DataConfig(resolution=resolution))


def test_devices_must_hold_whole_groups():
    model = HybridQConfig(minibatch_std=True)
    RunConfig(model=model, training={"devices": 2, "batch_size": 16})
    with pytest.raises(ValueError, match=r"groups of 4.*multiple of 8"):
        RunConfig(model=model, training={"devices": 2, "batch_size": 12})
    RunConfig(model=HybridQConfig(), training={"devices": 2, "batch_size": 12})


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"model": {"name": "mediq", "minibatch_std": True}}, "minibatch_std"),
        ({"model": {"name": "mediq", "critic": "dcgan"}, "training": {"loss": "wgan-gp"}}, "model.critic"),
        ({"model": {"name": "dcgan"}, "training": {"loss": "wgan-gp"}}, "discriminator_norm"),
        ({"model": {"name": "transfer"}, "training": {"loss": "wgan-gp"}}, "model.weights"),
        ({"model": {"latent_range": "adaptive"}, "training": {"loss": "hinge"}}, "latent_range"),
        ({"model": {"latent_range": "adaptive", "mode": "latent"}}, "model.mode"),
        ({"model": {"mode": "latent"}, "training": {"diff_augment": "color"}}, "diff_augment"),
        ({"model": {"name": "mosaiq"}, "training": {"diff_augment": "color"}}, "diff_augment"),
        ({"model": {"input_names": "x*"}}, "model.ansatz"),
        ({"model": {"ansatz": "c.qasm", "classical_baseline": True}}, "classical_baseline"),
        ({"training": {"devices": 3, "batch_size": 16}}, "multiple of 3"),
        ({"evaluation": {"metrics": "fid,ssim"}}, "fid_weights"),
    ],
    ids=str,
)
def test_combinations_that_do_not_work_are_refused(sections, key):
    if "model" in sections:
        sections["model"].setdefault("name", "hybridq")
    with pytest.raises(ValidationError, match=key):
        RunConfig.model_validate(sections)


def test_traits_are_those_of_each_model():
    assert [name for name, model in MODELS.items() if model.conditional] == ["mediq"]
    assert [name for name, model in MODELS.items() if not model.is_quantum] == ["dcgan"]
    assert [name for name, model in MODELS.items() if model.has_classical_baseline()] == [
        "hybridq", "mosaiq", "qgpatch", "mediq",
    ]  # fmt: skip
    assert (weight_files("mediq"), weight_files("transfer"), weight_files("gone")) == (
        ("prototype_file",), ("weights",), (),
    )  # fmt: skip
    for name, model in MODELS.items():
        assert set(weight_files(name)) <= set(model.model_fields)
        assert "default" in PRESETS[name]


def test_presets_are_named_after_themselves_and_others_are_refused():
    for model, presets in PRESETS.items():
        for name in presets:
            config = preset(model, name)
            assert (config.model.name, config.preset) == (model, name)
    with pytest.raises(UsageError, match="--model"):
        preset("gone", "default")
    with pytest.raises(UsageError, match="--preset"):
        preset("dcgan", "gone")
