"""The names of ``import qgan_qiskit``: exactly ten, imported on first use, and enough for a whole experiment."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tiny_runs import DATA, MODEL, TRAINING

import qgan_qiskit

NAMES = {
    *("fit", "resume", "load_generator", "sample", "evaluate", "preset"),
    *("CircuitSpec", "SubGenerators", "ExactEstimator", "AdjointEstimatorGradient"),
}


def test_there_are_ten_and_each_is_there():
    assert set(qgan_qiskit.__all__) == NAMES
    assert len(qgan_qiskit.__all__) == 10
    assert set(qgan_qiskit.__all__) <= set(dir(qgan_qiskit))
    for name in NAMES:
        assert getattr(qgan_qiskit, name).__name__ == name
    with pytest.raises(AttributeError, match="open_generator"):
        qgan_qiskit.open_generator  # noqa: B018


@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        ("import qgan_qiskit", set()),
        ("from qgan_qiskit import preset; preset('hybridq', 'default')", set()),
        ("from qgan_qiskit import CircuitSpec", {"qiskit"}),
    ],
)
def test_importing_is_light(program, loaded):
    code = f"import sys; {program}; print(*({{'torch', 'qiskit'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == loaded


def test_an_experiment_needs_no_other_names(tmp_path, image_cache):
    from qgan_qiskit import evaluate, fit, load_generator, preset, resume, sample

    changes = {"model": MODEL, "data": {**DATA, "cache_dir": str(image_cache)}, "training": {**TRAINING, "steps": 2}}
    config = preset("hybridq", "default").updated(changes)
    [run] = fit(config, tmp_path)
    resume(run, {"training": {"steps": 3}})
    generator, stored = load_generator(run)
    assert stored.training.steps == 3
    images = [image.numpy() for _, image in sample(generator, [7, 8, 7])]
    assert images[0].shape == (3, 16, 16)
    assert np.array_equal(images[0], images[2])
    assert not np.array_equal(images[0], images[1])
    metrics = config.updated({"evaluation": {"metrics": "ssim", "metrics_number": 8}}).evaluation
    evaluate([run], {}, metrics)
    assert (run / "evaluation.json").is_file()
    assert len((run / "stats.jsonl").read_text().splitlines()) == 3
    assert json.loads((run / "config.json").read_text())["training"]["steps"] == 3
