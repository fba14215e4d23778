"""FID at Inception's 768-d tap between a run's images and real ones, with the real-against-real floor beside it.

    python tests/benchmarks/fid768.py RUN --data PATH --class NAME --fid-weights FILE [-n 1000] [--json FILE]

"FID, 768-d" is on another scale than the usual 2048-d FID; compare it only with figures that this program printed.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import read_images, to_uint8, to_unit
from qgan_qiskit.experiment import generate, open_generator
from qgan_qiskit.metrics import frechet_distance
from qgan_qiskit.metrics.inception import Inception


def features(network, images_NHWC):
    """Return (N, 768) features of uint8 images."""
    return np.concatenate([network(part, [768])[768].numpy() for part in to_unit(images_NHWC).split(50)])


def main():
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--class", dest="class_name", required=True)
    parser.add_argument("--fid-weights", required=True)
    parser.add_argument("-n", type=int, default=1000, help="images on each side")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    images = read_images(DataConfig(path=arguments.data, class_name=arguments.class_name)).select(arguments.class_name)
    order = np.random.default_rng(0).permutation(len(images))
    n = min(arguments.n, len(images) // 2)
    network = Inception(arguments.fid_weights)
    first, second = (
        features(network, np.asarray(images.images_NHWC)[np.sort(part)]) for part in (order[:n], order[n : 2 * n])
    )
    result = {
        "metric": "FID, 768-d (Inception Mixed_6e), bilinear to 299x299, float64",
        "n": n,
        "weights_sha256": network.digest,
        "class": arguments.class_name,
        "real_against_real": frechet_distance(first, second),
        "runs": {},
    }
    for run in arguments.run:
        generator, _ = open_generator(run)
        made = torch.stack([image for _, image in generate(generator, range(n))])
        result["runs"][run.name] = frechet_distance(first, features(network, to_uint8(made)))
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
