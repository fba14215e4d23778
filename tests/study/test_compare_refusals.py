"""``study compare``: what is refused, in one line and before anything is written."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_study import OPTIONS, add_presets

from qgan_qiskit.config import PRESETS

MODELS = "hybridq:tiny,dcgan:tiny"


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    for model in ("hybridq", "dcgan", "mediq"):
        monkeypatch.setitem(PRESETS, model, dict(PRESETS[model]))
    add_presets()


@pytest.fixture(scope="module")
def options(image_cache):
    return [str(option) for option in ("--cache-dir", image_cache, *OPTIONS, "--models", MODELS, "--class", "nevus")]


BAD = {
    "unknown model": (["--models", "gan"], 2, "--models 'gan': no such model; there are hybridq, dcgan"),
    "unknown preset": (["--models", "dcgan:huge"], 2, "--models 'dcgan:huge': dcgan has default"),
    "classical baseline without circuits": (
        ["--models", "dcgan+baseline"],
        2,
        "dcgan has no circuits to replace; leave +baseline out",
    ),
    "not a model": (["--models", "hybridq classical baseline"], 2, "'hybridq classical baseline' is not of the form"),
    "nothing": (["--models", ""], 2, "--models ''"),
    "a model twice": (["--models", "dcgan,dcgan:default"], 2, "names dcgan twice"),
    "a class twice": (["--class", "nevus,NEVUS"], 2, "names a class twice"),
    "unknown class": (["--class", "mole"], 3, "--class mole: the data have nevus, melanoma, keratosis"),
    "seeds": (["--seeds", "1,1"], 2, "names a seed twice"),
    "no metric": (["--metrics", "none"], 2, "--metrics none leaves nothing to compare"),
    "no weights": (["--metrics", "fid,ssim"], 2, "--metrics fid needs --fid-weights"),
    "unknown metric": (["--metrics", "lpips"], 2, "--metrics"),
    "weights that are not there": (
        ["--metrics", "fid", "--fid-weights", "nowhere.pth"],
        2,
        "nowhere.pth: cannot be read",
    ),
    "too few images": (
        ["--synthetic-per-class", "8", "--models", "dcgan"],
        3,
        "dcgan: a batch of 64 does not fit 8 images",
    ),
    "a size that does not fit": (["--resolution", "24"], 2, "--models 'hybridq:tiny': data.resolution must be 16"),
    "dask without address": (["--executor", "dask"], 2, "--executor dask and --scheduler ADDRESS go together"),
    "address without dask": (["--scheduler", "tcp://x:1"], 2, "--executor dask and --scheduler ADDRESS go together"),
    "no epochs": (["--epochs", "0"], 2, "--epochs"),
    "no data": (["--data", "nowhere"], 3, "no data at"),
    "an option of fit": (["--lr-quantum", "0.1"], 2, "--lr-quantum"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), BAD.values(), ids=BAD)
def test_what_is_refused(arguments, code, said, options, main, tmp_path):
    status, out, err = main("study", "compare", *options, "--outdir", tmp_path / "study", *arguments)
    assert (status, out) == (code, "")
    assert err.count("\n") == 1
    assert said in err
    assert not (tmp_path / "study").exists()


def test_report_of_nothing(main, tmp_path):
    status, _, err = main("study", "compare", "--report", "--outdir", tmp_path)
    assert (status, "no study" in err) == (4, True)
    status, _, err = main("study", "compare", "--report", "--outdir", tmp_path, "--epochs", "3")
    assert (status, "leave --epochs out" in err) == (2, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}'])
def test_a_damaged_study_is_named(text, options, main, tmp_path):
    (tmp_path / "study.json").write_text(text)
    status, _, err = main("study", "compare", *options, "--outdir", tmp_path)
    assert status == 4
    assert "study.json" in err


def test_without_matplotlib_nothing_is_trained(options, main, tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else found(name, *rest)
    )
    status, _, err = main("study", "compare", *options, "--outdir", tmp_path / "study")
    assert (status, "'.[draw]'" in err) == (2, True)
    assert not (tmp_path / "study").exists()


def test_other_images_are_refused(options, main, tmp_path):
    """The same names with other pixels: neither a finished cell nor a new one may use them."""
    import numpy as np

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 16, 16, 3), np.uint8), np.zeros(12, np.int64)
    data = tmp_path / "data.npz"
    np.savez(data, images=images, labels=labels)
    base = [
        "--cache-dir",
        tmp_path / "cache",
        *OPTIONS,
        "--data",
        data,
        "--epochs",
        "1",
        "--outdir",
        tmp_path / "study",
    ]
    assert main("study", "compare", *base, "--models", "dcgan:tiny")[0] == 0
    images[3, 4] ^= 1
    time.sleep(0.01)
    np.savez(data, images=images, labels=labels)
    status, _, err = main("study", "compare", *base, "--models", MODELS)
    assert status == 4
    assert "the images of class 0 are not those that this cell was made with" in err


def test_a_machine_that_does_not_see_the_same_files_fails_its_cell(options, tmp_path):
    """A worker with another folder of that name, without the folder, or with other images."""
    from qgan_qiskit.config.studies import CompareConfig
    from qgan_qiskit.errors import DataError, StorageError
    from qgan_qiskit.study.compare.cells import run_cell
    from qgan_qiskit.study.compare.plan import prepare
    from qgan_qiskit.study.compare.variants import parse_variants

    data = {"cache_dir": options[1], "resolution": 16, "synthetic_per_class": 20}
    settings = CompareConfig(epochs=1, data=data, evaluation={"metrics": "ssim"})
    study, (cell,) = prepare(settings, parse_variants("dcgan:tiny"), ["nevus"], [0], tmp_path / "study", "command")
    with pytest.raises(StorageError, match="does not see the study"):
        run_cell(cell, wait=True)
    assert not (tmp_path / "study").exists()
    study.join()
    with pytest.raises(StorageError, match="does not see the study"):
        run_cell(replace(cell, identity="another"), wait=True)
    with pytest.raises(DataError, match="class nevus: this machine reads other images"):
        run_cell(replace(cell, data_digest="other"), wait=True)
    assert not list(tmp_path.glob("study/cells/*/run"))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--models", "gan"], ["--epochs", "0"], ["--seeds", "x"]], ids=" ".join
)
def test_neither_help_nor_a_refused_option_waits_for_torch(arguments):
    program = f"""
import sys
from qgan_qiskit.cli.__main__ import main
sys.argv = ["x", "study", "compare", *{arguments!r}]
try:
    main()
except SystemExit:
    print(sorted({{"torch", "qiskit", "numpy", "scipy", "PIL", "matplotlib", "distributed"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_class_too_small_for_a_model_is_refused_before_the_first_is_trained(tmp_path, main, tree_of_two):
    """MosaiQ's 100 components need more than 100 images: the large class must not be trained first."""
    arguments = [
        "--data",
        tree_of_two,
        "--class",
        "large,small",
        "--epochs",
        "1",
        "--resolution",
        "16",
        "--bootstrap",
        "0",
    ]
    arguments += [
        "--metrics",
        "ssim",
        "--metrics-number",
        "10",
        "--curve-every",
        "0",
        "--cache-dir",
        tmp_path / "cache",
    ]
    status, out, err = main(
        "study",
        "compare",
        *arguments,
        "--models",
        "dcgan:tiny,mosaiq",
        "--threads",
        "1",
        "--outdir",
        tmp_path / "study",
    )
    assert (status, out) == (3, "")
    assert err.startswith(
        "error: mosaiq, class small: 100 principal components need more than 100 images, there are 50"
    )
    assert err.count("\n") == 1
    assert not (tmp_path / "study").exists()


@pytest.fixture
def tree_of_two(tmp_path):
    rng = np.random.default_rng(0)
    for name, number in (("large", 120), ("small", 50)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for row in range(number):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{row}.png")
    return tmp_path / "data"


def test_a_share_too_small_for_a_model_names_model_and_class(tmp_path, main, tree_of_two):
    arguments = ["--data", tree_of_two, "--class", "small", "--epochs", "1", "--resolution", "16", "--metrics", "ssim"]
    arguments += ["--cache-dir", tmp_path / "cache", "--threads", "1", "--models", "mosaiq@0.9", "--curve-every", "0"]
    status, _, err = main("study", "compare", *arguments, "--outdir", tmp_path / "study")
    assert status == 3 and err.startswith("error: mosaiq@0.9, class small: 100 principal components need more than 100")
