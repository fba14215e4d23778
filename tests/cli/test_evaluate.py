"""``evaluate``: what it writes, prints and notes; which images it takes; what is refused before minutes are spent."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.inception import BasicConv2d

from qgan_qiskit.metrics import Evaluator, inception
from qgan_qiskit.workflows.fit import fit

PIXELS = ["SSIM to nearest real", "MS-SSIM of pairs, 2 scales"]
FEATURES = ["FID, 64-d", "KID, 64-d", "precision, k = 3", "recall, k = 3", "density, k = 5", "coverage, k = 5"]


@pytest.fixture(autouse=True)
def _small_inception(monkeypatch):
    """The same network on 79 pixels a side instead of 299, to be quick."""
    monkeypatch.setattr(inception, "_SIDE", 79)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights up to feature layer 64."""
    layers = {
        "Conv2d_1a_3x3": BasicConv2d(3, 32, kernel_size=3),
        "Conv2d_2a_3x3": BasicConv2d(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": BasicConv2d(32, 64, kernel_size=3),
    }
    generator, tensors = torch.Generator().manual_seed(0), {}
    for layer, module in layers.items():
        for name, value in module.state_dict().items():
            scaled = name == "conv.weight"
            random = torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5 if scaled else value
            tensors[f"{layer}.{name}"] = random
    path = tmp_path_factory.mktemp("weights") / "to64.pth"
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Runs on all images, on a split, on another class, and on grayscale images."""
    folder = tmp_path_factory.mktemp("runs")
    fractions = {"validation_fraction": 0.2, "test_fraction": 0.2}
    return {
        name: fit(tiny(data=data, training={"seed": seed}), folder)[0]
        for name, data, seed in (
            ("all", {}, 0),
            ("split", {"split": "train", **fractions}, 0),
            ("melanoma", {"class_name": "melanoma"}, 0),
            ("grayscale", {"color": "grayscale"}, 0),
        )
    }


@pytest.fixture
def runs(trained, tmp_path):
    """Copies, to be changed."""
    return {name: shutil.copytree(path, tmp_path / "runs" / path.name) for name, path in trained.items()}


def read(path):
    return json.loads(path.read_text())


def results_of(content, table=0, row=0):
    return {result["name"]: result for result in content["tables"][table]["runs"][row]["results"]}


def test_without_weights_pixels_are_compared_and_the_rest_is_noted(runs, main):
    status, out, err = main("evaluate", runs["all"])
    assert status == 0
    content = read(runs["all"] / "evaluation.json")
    results = results_of(content)
    assert list(results) == PIXELS
    for name in PIXELS:
        assert name in out
        assert f"{results[name]['value']:.4g} [" in out
    assert "note: left out fid, kid, is, prdc, memorization: there are no --fid-weights" in err
    assert "pt_inception-2015-12-05-6726825d.pth" in err
    assert str(runs["all"] / "evaluation.json") in err
    assert not list(runs["all"].glob("*pairs*"))


def test_with_weights_all_they_give_is_measured(runs, weights, main):
    assert main("evaluate", runs["split"], "--fid-weights", weights, "--bootstrap", 10)[0] == 0
    content = read(runs["split"] / "evaluation.json")
    table = content["tables"][0]
    results = results_of(content)
    memorization = ["distance to training", "memorization rate", "memorization p"]
    assert list(results) == [*FEATURES[:2], *PIXELS, *FEATURES[2:], *memorization]
    number = read(runs["split"] / "data.json")["counts"]["nevus"]
    assert table["real_images"] == number
    assert table["held_out_images"] == 32 - number > 0
    assert {result["real_number"] for result in results.values()} == {number}
    assert {result["fake_number"] for result in results.values()} == {number}
    assert (content["format"], content["settings"]["bootstrap"]) == (2, 10)
    assert content["versions"] == read(runs["split"] / "versions.json")
    picture = runs["split"] / table["runs"][0]["picture"]
    # Three columns: sample, training, held-out.
    assert Image.open(picture).size[0] == 6 + 3 * (128 + 6)
    assert not list(runs["split"].rglob("*.staging"))


def test_the_same_command_writes_the_same_bytes(runs, weights, main):
    written = []
    for seed in (0, 0, 1):
        options = ("--fid-weights", weights, "--metrics-number", 12, "--evaluation-seed", seed)
        status, out, _ = main("evaluate", runs["all"], *options)
        assert status == 0
        written.append((out, (runs["all"] / "evaluation.json").read_bytes()))
    assert written[0] == written[1]
    first, last = (results_of(json.loads(text)) for _, text in written[1:])
    assert first["FID, 64-d"]["value"] != last["FID, 64-d"]["value"]


def test_samples_are_those_of_generate(runs, weights, main, tmp_path, monkeypatch):
    seen = []
    measure = Evaluator.measure
    monkeypatch.setattr(Evaluator, "measure", lambda self, images: (seen.append(images), measure(self, images))[1])
    assert main("evaluate", runs["all"], "--metrics", "ssim", "--metrics-number", 5)[0] == 0
    assert main("generate", runs["all"], "-n", 5, "--output", tmp_path / "a.npz")[0] == 0
    assert np.array_equal(seen[0], np.load(tmp_path / "a.npz")["images"])


def test_several_runs_make_a_table_per_set_of_images(runs, main, tmp_path, weights):
    checkpoint = runs["all"] / "checkpoints" / "step-00000004"
    output = tmp_path / "all.json"
    sources = [runs["all"], checkpoint, runs["melanoma"]]
    options = ["--fid-weights", weights, "--metrics", "fid,memorization", "--output", output]
    status, out, _ = main("evaluate", *sources, *options)
    assert status == 0
    content = read(output)
    assert [[row["run"] for row in table["runs"]] for table in content["tables"]] == [
        [runs["all"].name, f"{runs['all'].name}/step-00000004"],
        [runs["melanoma"].name],
    ]
    assert results_of(content, 0, 0)["FID, 64-d"]["value"] != results_of(content, 0, 1)["FID, 64-d"]["value"]
    assert results_of(content, 0, 0)["FID, 64-d"]["baseline"] == results_of(content, 0, 1)["FID, 64-d"]["baseline"]
    assert out.count("real-vs-real baseline ") == 2
    assert "nevus, all images of" in out
    assert "melanoma, all images of" in out
    pictures = [row["picture"] for table in content["tables"] for row in table["runs"]]
    assert len(set(pictures)) == 3
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(pictures)
    for source in (runs["all"], runs["melanoma"]):
        assert not (source / "evaluation.json").exists()


def test_other_real_images(runs, weights, main):
    """A split that was not trained on, and another class: memorization is about the run's own training images."""
    options = ("--fid-weights", weights, "--metrics", "fid,memorization")
    assert main("evaluate", runs["split"], *options)[0] == 0
    own = read(runs["split"] / "evaluation.json")
    assert main("evaluate", runs["split"], *options, "--split", "test")[0] == 0
    test = read(runs["split"] / "evaluation.json")
    assert test["tables"][0]["data"]["split"] == "test"
    assert test["tables"][0]["digest"] != own["tables"][0]["digest"]
    assert results_of(test)["FID, 64-d"]["value"] != results_of(own)["FID, 64-d"]["value"]
    assert results_of(test)["distance to training"]["real_number"] == own["tables"][0]["real_images"]
    assert main("evaluate", runs["all"], *options, "--class", "melanoma")[0] == 0
    other = read(runs["all"] / "evaluation.json")
    assert other["tables"][0]["data"]["class_name"] == "melanoma"
    assert results_of(other)["distance to training"]["real_number"] == 32


def test_memorization_needs_the_training_images(runs, weights, main):
    data = read(runs["all"] / "data.json")
    (runs["all"] / "data.json").write_text(json.dumps({**data, "digest": "another"}))
    status, _, err = main("evaluate", runs["all"], "--fid-weights", weights)
    assert status == 0
    assert f"{runs['all'].name} are not found" in err
    assert "left out memorization" in err
    status, _, err = main("evaluate", runs["all"], "--fid-weights", weights, "--metrics", "memorization")
    assert status == 3
    assert "memorization cannot be measured" in err


def test_runs_on_gray_images(runs, weights, main):
    assert main("evaluate", runs["grayscale"], "--fid-weights", weights)[0] == 0
    values = [result["value"] for result in results_of(read(runs["grayscale"] / "evaluation.json")).values()]
    assert np.isfinite(values).all()


BAD = {
    "no run": ([], 2, "RUN..."),
    "a run that is not there": (["nowhere"], 4, "nowhere: not a run folder"),
    "one run twice": (["{run}", "{run}"], 2, "named twice"),
    "two checkpoints": (["{run}", "{run}/checkpoints/step-00000004"], 2, "--output"),
    "no metric": (["{run}", "--metrics", "none"], 2, "measures nothing"),
    "an unknown metric": (["{run}", "--metrics", "fid,lpips"], 2, "no metric 'lpips'"),
    "an empty metric": (["{run}", "--metrics", ""], 2, "--metrics"),
    "fid without weights": (["{run}", "--metrics", "ssim,fid"], 2, "--metrics fid needs --fid-weights"),
    "weights that are not there": (["{run}", "--fid-weights", "nothing.pth"], 3, "nothing.pth: cannot be read"),
    "weights that are none": (["{run}", "--fid-weights", "{run}/config.json"], 3, "as Inception weights"),
    "a layer the file lacks": (
        ["{run}", "--fid-weights", "{weights}", "--feature-layer", "2048"],
        3,
        "no feature layer 2048",
    ),
    "a score the file lacks": (["{run}", "--fid-weights", "{weights}", "--metrics", "is"], 3, "no class logits"),
    "a layer that is none": (["{run}", "--feature-layer", "100"], 2, "--feature-layer"),
    "one image": (["{run}", "--metrics-number", "1"], 2, "--metrics-number"),
    "one resample": (["{run}", "--bootstrap", "1"], 2, "--bootstrap: one resample"),
    "too few for prdc": (
        ["{run}", "--fid-weights", "{weights}", "--metrics", "prdc", "--limit", "5"],
        3,
        "at least 6 real images are needed, not 5",
    ),
    "a class that is none": (["{run}", "--class", "wart"], 3, "no class 'wart'"),
    "data that are not there": (["{run}", "--data", "nothing"], 3, "no data at"),
    "an empty split": (["{run}", "--split", "test", "--test-fraction", "0"], 3, "--test-fraction"),
    "fractions that leave nothing": (
        ["{run}", "--validation-fraction", "0.6", "--test-fraction", "0.6"],
        2,
        "together",
    ),
    "a folder as output": (["{run}", "--output", "{run}"], 2, "--output"),
    "an output in no folder": (["{run}", "--output", "no/folder.json"], 2, "there is no folder"),
    "a device that is none": (["{run}", "--device", "cuda:99"], 2, "--device cuda:99"),
    "a device of another name": (["{run}", "--device", "toaster"], 2, "--device"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_requests_end_in_one_line_and_leave_nothing(what, runs, weights, main, tmp_path, monkeypatch):
    arguments, expected, piece = BAD[what]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(runs["all"].rglob("*"))
    status, out, err = main("evaluate", *[argument.format(run=runs["all"], weights=weights) for argument in arguments])
    assert (status, out) == (expected, "")
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert piece in last
    assert list((tmp_path / "here").iterdir()) == []
    assert sorted(runs["all"].rglob("*")) == before


def test_a_run_of_another_resolution_is_refused_by_the_size(runs, main, monkeypatch):
    """Real images are read at the run's own resolution; whatever gives others anyway is told."""
    from qgan_qiskit.workflows import evaluate

    read_images = evaluate.read_images
    monkeypatch.setattr(
        evaluate, "read_images", lambda data, seed: read_images(data.model_copy(update={"resolution": 32}), seed)
    )
    status, _, err = main("evaluate", runs["all"])
    assert status == 3
    assert "generated images are 16x16 pixels and the real ones 32x32" in err


def test_a_full_disk_leaves_the_earlier_file(runs, main, monkeypatch):
    assert main("evaluate", runs["all"])[0] == 0
    before = (runs["all"] / "evaluation.json").read_bytes()
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    status, _, err = main("evaluate", runs["all"], "--evaluation-seed", 3)
    assert status == 6
    assert err.splitlines()[-1].startswith("error: ")
    assert (runs["all"] / "evaluation.json").read_bytes() == before
    assert not list(runs["all"].glob(".*staging"))


def test_a_damaged_newest_checkpoint_is_passed_over_and_said(runs, main):
    path = runs["all"] / "checkpoints" / "step-00000006" / "ema.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    status, _, err = main("evaluate", runs["all"], "--metrics", "ssim")
    assert status == 0
    assert f"note: skipped {path}" in err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--metrics", "fid"], ["run", "--bootstrap", "1"]], ids=" ".join
)
def test_neither_help_nor_a_refused_option_waits_for_torch(arguments):
    program = f"""
import sys
from qgan_qiskit.cli.__main__ import main
sys.argv = ["x", "evaluate", *{arguments!r}]
try:
    main()
except SystemExit:
    print(sorted({{"torch", "numpy", "scipy", "PIL"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_class_that_is_called_all_is_measured_against_its_own_images(tmp_path):
    from qgan_qiskit.config import DataConfig
    from qgan_qiskit.data import read_images
    from qgan_qiskit.workflows.evaluate import read_real_images

    for label, number in (("all", 3), ("nv", 2)):
        (tmp_path / "source" / label).mkdir(parents=True)
        for k in range(number):
            pixels_HWC = np.random.default_rng(10 * number + k).integers(0, 255, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels_HWC).save(tmp_path / "source" / label / f"{k}.png")
    data = DataConfig(path=str(tmp_path / "source"), resolution=16, cache_dir=str(tmp_path / "cache"))
    own = read_real_images(data.model_copy(update={"class_name": "all"}), 0)
    assert own.names == tuple(f"all/{k}.png" for k in range(3))
    assert own.digest == read_images(data).select("all").digest
