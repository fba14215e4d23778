"""MediQ-GAN: one conditional generator of several classes, with prototypes of real images.

1. ``make_prototypes`` takes the mean features of each class, here from the critic of a first short run, as no pretrained weights
   come with the library (with a file of torchvision's: ``backbone="mobilenet_v2", weights=FILE``);
2. ``fit`` trains one run for all classes, which it draws latents around;
3. ``select_classes`` makes a generator give one class only; the same seed differs between classes by its class alone.

Run it with ``python examples/train_mediq.py``; without ``--data`` it learns lesions that are made by formulas. The sizes are
small, so that it ends in a few minutes at most; the preset's are for images worth looking at.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from qgan_qiskit.config import RunConfig, preset
from qgan_qiskit.console import log_to_stderr
from qgan_qiskit.data.grids import grid_picture
from qgan_qiskit.runs.load import load_discriminator, load_generator, select_classes
from qgan_qiskit.runs.sample import sample
from qgan_qiskit.workflows.fit import fit
from qgan_qiskit.workflows.prototypes import make_prototypes


def settings(arguments: argparse.Namespace) -> RunConfig:
    """Return small settings of MediQ-GAN."""
    return preset("mediq", "style2").updated(
        {
            "data": {
                "path": arguments.data,
                "class_name": arguments.classes,
                "resolution": arguments.resolution,
                "synthetic_per_class": 200,
            },
            "model": {"num_qubits": arguments.num_qubits, "reps": 4, "critic_width": 16},
            # So few steps take rates above the published ones, and a faster average.
            "training": {"steps": arguments.steps, "lr_classical": 5e-4, "lr_discriminator": 5e-4, "ema_decay": 0.95},
        }
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Train twice, the second time from prototypes, and draw a row for each class."""
    log_to_stderr()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", help="folder, zip or npz of images (default: synthetic lesions)")
    parser.add_argument("--classes", default="nevus,melanoma", help="classes to learn (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=150, help="training steps (default: %(default)s)")
    parser.add_argument("--num-qubits", type=int, default=6, help="qubits of a sub-generator (default: %(default)s)")
    parser.add_argument("--resolution", type=int, default=32, help="side of the images (default: %(default)s)")
    parser.add_argument("--outdir", type=Path, default=Path("runs"), help="home of run folders (default: %(default)s)")
    arguments = parser.parse_args(argv)

    config = settings(arguments)
    [first] = fit(config.updated({"training": {"steps": max(1, arguments.steps // 3)}}), arguments.outdir)
    prototypes = make_prototypes(config.data, first / "prototypes.npz", run=first)

    critic, _ = load_discriminator(first)
    width = critic.score.in_features
    [run] = fit(
        config.updated({"model": {"prototype_file": str(prototypes), "prototype_width": width}}), arguments.outdir
    )

    rows = []
    for name in config.data.class_list():
        generator, opened = load_generator(run)
        select_classes(generator, opened, name)
        rows.append(torch.stack([image for _, image in sample(generator, range(8))]))
    grid_picture(torch.cat(rows), columns=8).save(run / "by_class.png")
    difference = (rows[0] - rows[-1]).abs().mean() * 127.5
    print(f"rows of the same seeds, a class each: {run / 'by_class.png'}")
    print(f"between the first class and the last, images differ by {difference:.1f} of 255")


if __name__ == "__main__":
    main()
