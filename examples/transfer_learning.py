"""GANs with transfer learning: a circuit or a classical block of as many weights, in the generator, the discriminator, or both.

1. all four configurations have the same number of parameters;
2. the discriminator's circuit is differentiated exactly: gradients go through it back to the generator's;
3. two of the four are trained for a few steps.

Run it with ``python examples/transfer_learning.py``; with ``--weights FILE`` (torchvision's names) the discriminator looks
through pretrained features that stay as they are, without it the backbone learns from scratch, which takes longer.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from qgan_qiskit.config import TransferConfig, preset
from qgan_qiskit.console import log_to_stderr
from qgan_qiskit.models import build, parameter_count
from qgan_qiskit.workflows.fit import fit

FOUR = ("none", "generator", "discriminator", "both")


def main(argv: Sequence[str] | None = None) -> None:
    """Count, differentiate, train."""
    log_to_stderr()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--backbone", default="resnet18", help="resnet18, resnet50 or mobilenet_v2 (default: %(default)s)"
    )
    parser.add_argument("--weights", help="file of its weights (default: from scratch)")
    parser.add_argument("--data", help="folder, zip or npz of images (default: synthetic lesions)")
    parser.add_argument("--class-name", default="melanoma", help="class to learn (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="training steps (default: %(default)s)")
    parser.add_argument("--resolution", type=int, default=32, help="side of the images (default: %(default)s)")
    parser.add_argument("--outdir", type=Path, default=Path("runs"), help="home of run folders (default: %(default)s)")
    arguments = parser.parse_args(argv)

    model = {"backbone": arguments.backbone, "weights": arguments.weights, "decoder_width": 64}
    for quantum in FOUR:
        config = TransferConfig(quantum=quantum, **model)
        generator, discriminator = build(config, arguments.resolution, torch.Generator().manual_seed(0))
        blocks = parameter_count(generator.circuits), parameter_count(discriminator.block)
        total = parameter_count(generator, discriminator)
        print(f"1. {quantum}: blocks of {blocks[0]} and {blocks[1]} weights, {total:,} parameters in all")

    # The last one built has circuits in both.
    images_BCHW = generator(generator.sample_latent(4, torch.Generator().manual_seed(1)))
    discriminator(images_BCHW).sum().backward()
    [angles] = generator.quantum_parameters()
    print(f"2. gradient of the generator's angles through the discriminator's circuit: {angles.grad.norm():.2e}")

    for quantum in ("none", "both"):
        config = preset("transfer", "default").updated(
            {
                "data": {
                    "path": arguments.data,
                    "class_name": arguments.class_name,
                    "resolution": arguments.resolution,
                    "synthetic_per_class": 64,
                },
                "model": {**model, "quantum": quantum},
                "training": {"steps": arguments.steps, "batch_size": 8},
            }
        )
        [run] = fit(config, arguments.outdir)
        print(f"3. {quantum}: {run}")


if __name__ == "__main__":
    main()
