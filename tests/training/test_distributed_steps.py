"""Two processes see and learn what one does, up to the order of sums."""

import math
from dataclasses import astuple

import pytest
import torch
from tiny_runs import DATA, DCGAN, MODEL, TRAINING

from qgan_qiskit.config import RunConfig
from qgan_qiskit.data import Batches, read_images
from qgan_qiskit.models import build
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.training.distributed import SINGLE_PROCESS, convert_sync_batchnorm
from qgan_qiskit.training.launch import launch
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step

STEPS = 4
SPECTRAL = {"discriminator_norm": "spectral"}
MOSAIQ = {"name": "mosaiq", "sub_generators": 2, "num_qubits": 3, "reps": 2}
QGPATCH = {"name": "qgpatch", "sub_generators": 8, "num_qubits": 6, "num_ancillas": 1, "reps": 2}
VARIANTS = {
    "image": ({}, {}),
    "image, spectral norm": (SPECTRAL, {"loss": "hinge"}),
    "fusion": ({"mode": "fusion"}, {}),
    "fusion, spectral norm, adaptive noise": ({"mode": "fusion", "latent_range": "adaptive"} | SPECTRAL, {}),
    "latent": ({"mode": "latent"}, {"loss": "wgan-gp"}),
    "linear encoder, paper decoder": ({"encoder": "linear", "decoder": "paper"}, {}),
    "modulated decoder, minibatch std": ({"decoder": "modulated", "minibatch_std": True}, {}),
    "dcgan": (DCGAN, {}),
    "dcgan, wgan-gp": (DCGAN | SPECTRAL, {"loss": "wgan-gp"}),
    "diff_augment": ({}, {"diff_augment": "color,translation,cutout", "diff_augment_from": 1}),
    "wgan-gp": (SPECTRAL, {"loss": "wgan-gp"}),
    "r1": (SPECTRAL, {"r1_weight": 1.0}),
    "r1 through batch norm": ({}, {"r1_weight": 1.0}),
    "gradient descent": ({}, {"optimizer": "sgd", "lr_quantum": 0.3, "lr_classical": 0.05, "lr_discriminator": 0.05}),
    "mosaiq": (MOSAIQ, {}),
    "qgpatch": (QGPATCH, {}),
    "bfloat16": ({}, {"precision": "bf16"}),
}


def trained(config, group=SINGLE_PROCESS):
    """Take some steps; return what was seen, and what came of it."""
    images = read_images(config.data, config.training.seed).select(config.data.class_name)
    batches = Batches(images, config.training.batch_size, config.training.seed, "dihedral", config.data.channels)
    weights = seeded_generator(config.training.seed, "weights")
    generator, discriminator = build(config.model, config.data.resolution, weights, channels=config.data.channels)
    generator.fit_to_data(images.images_NHWC)
    convert_sync_batchnorm(generator, discriminator, group)
    state = TrainingState.create(config, generator, discriminator)
    seen, losses = [], []
    pair = generator.discriminator_inputs
    generator.discriminator_inputs = lambda real, z: (seen.append((real.clone(), z.clone())), pair(real, z))[1]
    for step in range(STEPS):
        losses.append(train_step(state, group.local_shard(batches.batch(step)), config.training, group))
    return {"seen": seen, "losses": losses, "tensors": state.tensors(), "values": state.values()}


def train_all(group, _device, configs, folder):
    torch.set_num_threads(1)
    for number, config in enumerate(configs):
        torch.save(trained(config, group), folder / f"{number}-{group.rank}.pt")


@pytest.fixture(scope="module")
def configs(image_cache):
    """Return the settings of each variant."""
    found = {}
    for name, (model, training) in VARIANTS.items():
        gray = {"color": "grayscale"} if model.get("name") == "qgpatch" else {}
        found[name] = RunConfig.model_validate(
            {
                "model": model if "name" in model else {"name": "hybridq", **MODEL, **model},
                "data": {**DATA, **gray, "cache_dir": str(image_cache)},
                "training": {**TRAINING, **training},
            }
        )
    return found


@pytest.fixture(scope="module")
def together(configs, tmp_path_factory):
    """Train all variants in the same two processes: to start them takes longer than to train."""
    folder = tmp_path_factory.mktemp("together")
    launch(torch.device("cpu"), 2, train_all, list(configs.values()), folder)
    return {
        name: [torch.load(folder / f"{number}-{rank}.pt", weights_only=False) for rank in range(2)]
        for number, name in enumerate(configs)
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_learn_what_one_does(name, configs, together):
    one, (first, second) = trained(configs[name]), together[name]
    # In bfloat16 two orders of a sum differ in the third digit.
    exact = name != "bfloat16"
    close = {"rtol": 1e-4, "atol": 1e-5} if exact else {"rtol": 2e-2, "atol": 2e-2}
    # Adam makes a whole step of any gradient: where that is 0 but for rounding, of rounding.
    weights = {"rtol": 1e-4, "atol": 1e-4} if exact else close
    for step in range(STEPS):
        for mine, *shares in zip(one["seen"][step], first["seen"][step], second["seen"][step], strict=True):
            assert [len(share) for share in shares] == [4, 4]
            # The range of adaptive noise follows the losses, which may differ in their last digit.
            torch.testing.assert_close(torch.cat(shares), mine, rtol=1e-6, atol=0)
        assert first["losses"][step] == second["losses"][step]
        for mine, ours in zip(astuple(one["losses"][step]), astuple(first["losses"][step]), strict=True):
            assert (mine is None and ours is None) or math.isclose(mine, ours, rel_tol=close["rtol"], abs_tol=1e-4)
    assert {file: set(members) for file, members in one["tensors"].items()} == {
        file: set(members) for file, members in first["tensors"].items()
    }
    for file, members in one["tensors"].items():
        for key, mine in members.items():
            ours = first["tensors"][file][key]
            assert torch.equal(ours, second["tensors"][file][key]), (file, key)
            limits = close if file.endswith("optimizer") else weights
            torch.testing.assert_close(ours, mine, **limits, msg=lambda text, at=(file, key): f"{at}: {text}")
    assert first["values"] == second["values"]
    assert first["values"]["step"] == one["values"]["step"] == STEPS


def test_real_images_are_seen_bit_for_bit(together, configs):
    """Also those of the last step: the order of the images does not depend on how many look at them."""
    images = read_images(configs["image"].data, 0).select("nevus")
    batches = Batches(images, 8, 0)
    for step in range(STEPS):
        shares = [rank["seen"][step][0] for rank in together["image"]]
        assert torch.equal(torch.cat(shares), batches.batch(step))
