"""``generate``: the same seed gives the same bytes, whatever else is asked for; pictures; what is refused."""

import errno
import hashlib
import io
import random
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from tiny_runs import DCGAN

from qgan_qiskit.cli.generate import parse_seeds
from qgan_qiskit.errors import UsageError
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import sample
from qgan_qiskit.workflows.fit import fit

MODELS = {
    "image": {},
    "latent": {"mode": "latent"},
    "fusion": {"mode": "fusion", "latent_range": "adaptive"},
    "classical_baseline": {"classical_baseline": True},
    "dcgan": DCGAN,
}


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: fit(tiny(model=model, training={"lr_classical": 0.01}), folder)[0] for name, model in MODELS.items()}


@pytest.fixture
def run(runs, tmp_path):
    """A copy of one run, to be changed."""
    return shutil.copytree(runs["image"], tmp_path / "run")


def names(seeds):
    return [f"seed{seed:08d}.png" for seed in seeds]


def read_all(path):
    """Seed -> pixels of a folder, zip or npz."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            assert set(arrays) == {"images", "seeds", "labels", "classes", "synthetic"}
            return dict(zip(arrays["seeds"].tolist(), arrays["images"], strict=True))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            files = {name: archive.read(name) for name in archive.namelist()}
    else:
        files = {file.name: file.read_bytes() for file in path.iterdir()}
    return {int(name[4:-4]): np.asarray(Image.open(io.BytesIO(data))) for name, data in files.items()}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_bytes_whatever_else_is_asked_for(model, runs, main, tmp_path):
    """Against one image at a time through the networks by hand, up to rounding; against each other, exactly."""
    numbers = random.Random(model)
    seen = {}
    requests = ["0-40", "40", "7,3,39", "31-33", "1000000000000,5", ",".join(map(str, numbers.sample(range(70), 20)))]
    for number, text in enumerate(requests):
        out = tmp_path / f"{number}{numbers.choice(['', '.zip', '.npz'])}"
        status, printed, err = main("generate", runs[model], "--seeds", text, "--output", out)
        assert (status, printed) == (0, ""), err
        found = read_all(out)
        assert list(found) == parse_seeds(text) or out.suffix == ""
        assert sorted(found) == sorted(parse_seeds(text))
        for seed, pixels in found.items():
            assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
            assert np.array_equal(seen.setdefault(seed, pixels), pixels), f"seed {seed}"
    assert len({pixels.tobytes() for pixels in seen.values()}) == len(seen) > 45
    generator, _ = load_generator(runs[model])
    for seed in numbers.sample(sorted(seen), 5):
        with torch.no_grad():
            (image,) = generator(generator.sample_latent(1, seeded_generator(seed, "generate")))
        levels = (image.permute(1, 2, 0).numpy().astype(np.float64) + 1) * 127.5
        assert np.abs(levels - seen[seed]).max() < 0.51


@pytest.mark.parametrize("suffix", [".zip", ".npz"])
def test_an_archive_is_the_same_file_every_time(suffix, runs, main, tmp_path, monkeypatch):
    import time

    for number, now in enumerate((1.7e9, 1.9e9)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert main("generate", runs["image"], "-n", 5, "--output", tmp_path / f"{number}{suffix}")[0] == 0
    assert digest(tmp_path / f"0{suffix}") == digest(tmp_path / f"1{suffix}")


def test_a_copied_run_gives_the_same_and_another_checkpoint_other_images(run, runs, main, tmp_path):
    sources = [runs["image"], run, run / "checkpoints" / "step-00000006", run / "checkpoints" / "step-00000004"]
    files = []
    for number, source in enumerate(sources):
        assert main("generate", source, "-n", 3, "--output", tmp_path / f"{number}.npz")[0] == 0
        files.append(digest(tmp_path / f"{number}.npz"))
    assert files[0] == files[1] == files[2] != files[3]


def test_generates_from_the_average_not_the_last_weights(run, main, tmp_path):
    generator, _ = load_generator(run)
    tensors, _ = checkpoint.load(run / "checkpoints" / "step-00000006")
    found = dict(generator.named_parameters())
    assert all(torch.equal(found[name], value) for name, value in tensors["ema"].items() if name in found)
    assert any(not torch.equal(found[name], value) for name, value in tensors["generator"].items() if name in found)
    assert not generator.training


def test_without_options_64_images_lie_in_the_run_folder(run, main):
    for source in (run, run / "checkpoints" / "step-00000004"):
        assert main("generate", source)[0] == 0
        assert sorted(path.name for path in (run / "generated").iterdir()) == names(range(64))
        assert not (run / "checkpoints" / "step-00000004" / "generated").exists()
        shutil.rmtree(run / "generated")


def test_an_empty_folder_is_filled_and_new_folders_are_made(run, main, tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b"):
        assert main("generate", run, "--seeds", "3,1", "--output", out)[0] == 0
        assert sorted(path.name for path in out.iterdir()) == names([1, 3])


@pytest.mark.parametrize("kind", ["folder", "file.zip", "file.npz", "file"])
def test_what_exists_is_refused_and_kept(kind, run, main, tmp_path):
    out = tmp_path / kind
    if kind == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out.write_text("mine")
    status, printed, err = main("generate", run, "-n", 2, "--output", out)
    assert (status, printed) == (2, "")
    assert err == f"error: --output {out}: exists already; name a new one\n"
    assert (out / "mine" if kind == "folder" else out).read_text() == "mine"


@pytest.mark.parametrize("count", [1, 2, 5, 36])
def test_grid_shows_the_images_side_by_side(count, run, main, tmp_path):
    picture, out = tmp_path / "sub" / "grid.png", tmp_path / "images"
    assert main("generate", run, "-n", count, "--grid", picture, "--output", out)[0] == 0
    images = read_all(out)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    pixels = np.asarray(Image.open(picture))
    # torchvision draws no border around a single image.
    assert pixels.shape == ((16, 16, 3) if count == 1 else (rows * 18 + 2, columns * 18 + 2, 3))
    for seed in range(count):
        row, column = divmod(seed, columns)
        top, left = (0, 0) if count == 1 else (row * 18 + 2, column * 18 + 2)
        assert np.array_equal(pixels[top : top + 16, left : left + 16], images[seed]), seed
    assert not list(run.glob("generated"))


@pytest.mark.parametrize("frames", [2, 5])
def test_interpolation_runs_from_seed_to_seed(frames, run, main, tmp_path):
    assert main("generate", run, "--seeds", "4,9,2", "--interpolation", tmp_path / "a.png", "--frames", frames)[0] == 0
    pixels = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    assert pixels.shape == (2 * 18 + 2, (frames + 1) * 18 + 2, 3)
    assert main("generate", run, "--seeds", "4,9,2", "--output", tmp_path / "b.npz")[0] == 0
    images = read_all(tmp_path / "b.npz")

    def tile(row, column):
        return pixels[row * 18 + 2 : row * 18 + 18, column * 18 + 2 : column * 18 + 18]

    for row, (first, last) in enumerate(((4, 9), (9, 2))):
        # Batches of other sizes may differ in the last bit, so in one level.
        assert np.abs(tile(row, 0) - images[first]).max() <= 1
        assert np.abs(tile(row, frames) - images[last]).max() <= 1
        assert np.abs(tile(row, 1) - images[first]).max() > 1
    status, _, _ = main("generate", run, "--seeds", "4,9,2", "--interpolation", tmp_path / "a.gif", "--frames", frames)
    assert status == 0
    with Image.open(tmp_path / "a.gif") as movie:
        assert movie.size == (16, 16)
        assert len(list(ImageSequence.Iterator(movie))) == 2 * frames + 1


BAD = {
    "a run that is not there": (["nowhere"], 4, "nowhere: not a run folder"),
    "a checkpoint that is not there": (["{run}/checkpoints/step-00000099"], 4, "not a checkpoint"),
    "no seeds": (["{run}", "--seeds", ""], 2, "--seeds"),
    "words": (["{run}", "--seeds", "one"], 2, "'one' is not a seed"),
    "negative": (["{run}", "--seeds", "-3"], 2, "--seeds"),
    "falling range": (["{run}", "--seeds", "5-1"], 2, "'5-1'"),
    "open range": (["{run}", "--seeds", "5-"], 2, "'5-'"),
    "three parts": (["{run}", "--seeds", "1-2-3"], 2, "'1-2-3'"),
    "empty part": (["{run}", "--seeds", "1,,2"], 2, "''"),
    "other digits": (["{run}", "--seeds", "١"], 2, "is not a seed"),
    "fraction": (["{run}", "--seeds", "1.5"], 2, "1.5"),
    "twice": (["{run}", "--seeds", "1,0-3"], 2, "twice"),
    "too large": (["{run}", "--seeds", str(2**63)], 2, "below 2**63"),
    "too many": (["{run}", "--seeds", "0-1000000"], 2, "1,000,000"),
    "too many in parts": (["{run}", "--seeds", "0-600000,600001-1200000"], 2, "1,000,000"),
    "none": (["{run}", "-n", "0"], 2, "-n"),
    "number too large": (["{run}", "-n", "1000001"], 2, "-n"),
    "number and seeds": (["{run}", "-n", "3", "--seeds", "1"], 2, "exclude each other"),
    "interpolation of one": (["{run}", "-n", "1", "--interpolation", "a.png"], 2, "at least two"),
    "one frame": (["{run}", "--frames", "1"], 2, "--frames"),
    "a folder as grid": (["{run}", "--grid", "."], 2, "--grid"),
    "a file as folder": (["{run}", "-n", "1", "--output", "{run}/config.json/x"], 6, "not written"),
    "a grid below a file": (["{run}", "-n", "1", "--grid", "{run}/config.json/x.png"], 6, "not written"),
    "no run": ([], 2, "RUN"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_requests_end_in_one_line_and_leave_nothing(what, run, main, tmp_path, monkeypatch):
    arguments, expected, piece = BAD[what]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(run.rglob("*"))
    status, out, err = main("generate", *[argument.format(run=run) for argument in arguments])
    assert (status, out) == (expected, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert piece in err
    assert list((tmp_path / "here").iterdir()) == []
    assert sorted(run.rglob("*")) == before


def test_parse_seeds_against_a_plain_reading():
    numbers = random.Random(2)
    for _ in range(200):
        parts, expected = [], []
        start = 0
        for _ in range(numbers.randint(1, 5)):
            low = start + numbers.randint(0, 9)
            high = low + numbers.randint(0, 9)
            start = high + 1
            single = numbers.random() < 0.4
            parts.append(f" {low}" if single else f"{low}-{high} ")
            expected += [low] if single else list(range(low, high + 1))
        assert parse_seeds(",".join(parts)) == expected
    with pytest.raises(UsageError, match="start at 0"):
        list(sample(None, [3, -1]))


@pytest.mark.parametrize("out", ["images", "images.zip", "images.npz", "grid.png", "way.gif"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"]
)
def test_a_write_that_fails_leaves_nothing(out, error, run, main, tmp_path, monkeypatch):
    from qgan_qiskit.workflows import generate

    def fail(*_arguments, **_options):
        raise error

    if out in ("images", "images.zip"):
        monkeypatch.setattr(generate, "encode_png", fail)
    elif out == "images.npz":
        monkeypatch.setattr(np, "savez", fail)
    else:

        def save(_image, file, **_options):
            file.write(b"half a picture")
            raise error

        monkeypatch.setattr(Image.Image, "save", save)
    (tmp_path / "here").mkdir()
    option = {"grid.png": "--grid", "way.gif": "--interpolation"}.get(out, "--output")
    status, printed, err = main("generate", run, "-n", 4, option, tmp_path / "here" / out)
    assert (status, printed) == ((130 if isinstance(error, KeyboardInterrupt) else 6), "")
    # After Ctrl-C click writes an empty line first, and stopping is no error.
    assert err.strip().startswith("stopped" if status == 130 else "error: ")
    assert err.strip().count("\n") == 0
    assert list((tmp_path / "here").iterdir()) == []


def test_a_damaged_newest_checkpoint_is_passed_over_and_said(run, main, tmp_path):
    path = run / "checkpoints" / "step-00000006" / "ema.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    status, _, err = main("generate", run, "-n", 2, "--output", tmp_path / "a.npz")
    assert status == 0
    assert err.startswith(f"note: skipped {path}")
    assert main("generate", run / "checkpoints" / "step-00000004", "-n", 2, "--output", tmp_path / "b.npz")[0] == 0
    assert digest(tmp_path / "a.npz") == digest(tmp_path / "b.npz")
    status, _, err = main("generate", path.parent, "-n", 2, "--output", tmp_path / "c.npz")
    assert status == 4
    assert err.startswith(f"error: {path}")


def test_a_run_without_a_checkpoint(run, main):
    shutil.rmtree(run / "checkpoints")
    status, _, err = main("generate", run)
    assert status == 4
    assert "no whole checkpoint" in err
