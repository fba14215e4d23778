"""HybridQ trained from Python: a configuration, one call, a run folder, and images from it.

The command line does nothing else: it turns options into a ``RunConfig`` and hands that to ``workflows.fit.fit``. So whatever
``fit`` can do is at hand in a notebook or a script of your own:

1. start from a preset and change what you want; every change is checked at once;
2. ``fit`` trains one GAN per class and returns the run folders;
3. the log of a run is one JSON object per line;
4. ``load_generator`` gives the averaged generator of a run as a torch module, ``generate`` one image per seed.

Run it with ``python examples/train_hybridq.py``; without ``--data`` it learns lesions that are made by formulas. The
defaults are small, so that it ends in a few minutes at most; leave ``--steps`` and the sizes to the preset for images worth
looking at.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from qgan_qiskit.config import preset
from qgan_qiskit.console import log_to_stderr
from qgan_qiskit.data.grids import grid_picture
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import sample
from qgan_qiskit.workflows.fit import fit


def main(argv: Sequence[str] | None = None) -> None:
    """Train, show what the run folder holds, and draw images from it."""
    log_to_stderr()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", help="folder, zip or npz of images (default: synthetic lesions)")
    parser.add_argument("--class-name", default="melanoma", help="class to learn (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=60, help="training steps (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a step (default: %(default)s)")
    parser.add_argument("--num-qubits", type=int, default=6, help="qubits of a sub-generator (default: %(default)s)")
    parser.add_argument("--sub-generators", type=int, default=6, help="how many of them (default: %(default)s)")
    parser.add_argument("--resolution", type=int, default=32, help="side of the images (default: %(default)s)")
    parser.add_argument("--outdir", type=Path, default=Path("runs"), help="home of run folders (default: %(default)s)")
    arguments = parser.parse_args(argv)

    config = preset("hybridq", "quick").updated(
        {
            "data": {
                "path": arguments.data,
                "class_name": arguments.class_name,
                "resolution": arguments.resolution,
                "synthetic_per_class": 200,
            },
            "model": {"num_qubits": arguments.num_qubits, "sub_generators": arguments.sub_generators},
            "training": {"steps": arguments.steps, "batch_size": arguments.batch_size},
        }
    )
    [run] = fit(config, arguments.outdir)

    print(f"{run} holds {', '.join(sorted(path.name for path in run.iterdir() if not path.name.startswith('.')))}")
    last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    print(f"step {last['step']}: losses D {last['loss_discriminator']:.3f}, G {last['loss_generator']:.3f}")

    generator, _ = load_generator(run)
    images_NCHW = torch.stack([image for _, image in sample(generator, range(16))])
    grid_picture(images_NCHW).save(run / "sixteen.png")
    print(f"{len(images_NCHW)} images of shape {tuple(images_NCHW.shape[1:])}: {run / 'sixteen.png'}")


if __name__ == "__main__":
    main()
