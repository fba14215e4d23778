"""``fit`` as a user meets it: what is refused and how, -n, --config, --resume, classes, own circuits, SIGKILL."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from child_runs import lines
from PIL import Image
from tiny_runs import fingerprint, leftovers, without

from qgan_qiskit.circuits import circuit_spec_to_qasm, hybridq_ansatz
from qgan_qiskit.config import RunConfig
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.workflows.fit import fit

FILE = "settings.json"
# Arguments, or the content of a --config file -> exit status, a piece of the line.
BAD_OPTIONS = {
    "unknown option": (["--lr", "1"], 2, "--lr"),
    "unknown model": (["--model", "gan"], 2, "gan"),
    "unknown preset": (["--preset", "huge"], 2, "default, quick, paper"),
    "preset of another model": (
        ["--model", "dcgan", "--preset", "paper"],
        2,
        "--preset 'paper': dcgan has default, matched",
    ),
    "not a number": (["--steps", "many"], 2, "--steps"),
    "a fraction of a step": (["--steps", "1.5"], 2, "--steps"),
    "negative rate": (["--lr-quantum", "-0.1"], 2, "--lr-quantum"),
    "zero rate": (["--lr-classical", "0"], 2, "--lr-classical"),
    "rate NaN": (["--lr-discriminator", "nan"], 2, "--lr-discriminator"),
    "infinite penalty": (
        ["--loss", "wgan-gp", "--discriminator-norm", "spectral", "--gp-weight", "inf"],
        2,
        "--gp-weight",
    ),
    "penalty NaN": (["--gp-weight", "nan"], 2, "--gp-weight"),
    "decay of 1": (["--ema-decay", "1"], 2, "--ema-decay"),
    "no qubits": (["--num-qubits", "0"], 2, "--num-qubits"),
    "too many qubits": (["--num-qubits", "21"], 2, "--num-qubits"),
    "no repetitions": (["--reps", "0"], 2, "--reps"),
    "batch of one": (["--batch-size", "1"], 2, "--batch-size"),
    "odd width": (["--decoder-width", "17"], 2, "--decoder-width"),
    "negative seed": (["--seed", "-1"], 2, "--seed"),
    "huge seed": (["--seed", str(2**63)], 2, "--seed"),
    "unknown loss": (["--loss", "mse"], 2, "--loss"),
    "unknown augmentation": (["--diff-augment", "color,blur"], 2, "--diff-augment"),
    "augmentation of latents": (["--mode", "latent", "--diff-augment", "color"], 2, "diff_augment"),
    "adaptive noise with hinge": (["--latent-range", "adaptive", "--loss", "hinge"], 2, "needs training.loss 'bce'"),
    "adaptive noise of latents": (["--latent-range", "adaptive", "--mode", "latent"], 2, "model.mode"),
    "penalty through batch norm": (["--loss", "wgan-gp"], 2, "model.discriminator_norm 'spectral'"),
    "circuit and its sizes": (["--ansatz", "x.qasm", "--reps", "2"], 2, "--reps has no effect with --ansatz"),
    "penalty without its loss": (["--gp-weight", "5"], 2, "--gp-weight has no effect without --loss wgan-gp"),
    "range of adaptive noise": (["--latent-range", "adaptive", "--latent-high", "2"], 2, "--latent-high has no effect"),
    "weight of no term": (["--reconstruction-weight", "2"], 2, "--reconstruction-weight has no effect"),
    "names without a circuit": (["--input-names", "p*"], 2, "model.input_names names parameters of model.ansatz"),
    "classical baseline with a circuit": (
        ["--classical-baseline", "--ansatz", "x.qasm"],
        2,
        "model.classical_baseline",
    ),
    "size that is no power of two": (["--resolution", "20"], 2, "16, 32, 64, 128, 256 or 512"),
    "size that does not halve": (["--resolution", "48"], 2, "16, 32, 64"),
    "option of another model": (["--model", "dcgan", "--num-qubits", "3"], 2, "--num-qubits is not a setting"),
    "an argument too many": (["more"], 2, "more"),
    "resume with a model": (["--resume", "x", "--model", "dcgan"], 2, "--resume"),
    "resume with a rate": (["--resume", "x", "--lr-quantum", "0.1"], 2, "--lr-quantum would make"),
    "resume with other data": (["--resume", "x", "--data", "y"], 2, "--data would make"),
    "resume nothing": (["--resume", "nowhere"], 4, "nowhere: not a run folder"),
    "resume the newest of none": (["--resume", "auto"], 4, "no run to resume"),
    "a device that is no name": (["--device", "gpu"], 2, "--device"),
    "a GPU that is not there": (["--device", "cuda:77"], 2, "--device cuda:77"),
    "a circuit that is not there": (["--ansatz", "nowhere.qasm"], 2, "nowhere.qasm"),
    "data that are not there": (["--data", "nowhere"], 3, "nowhere"),
    "a class that is not there": (["--class", "MEL"], 3, "nevus, melanoma, keratosis"),
    "a batch larger than the data": (["--batch-size", "33"], 3, "a batch of 33 does not fit 32 images"),
    "a config that is not there": (["--config", "nowhere.json"], 2, "nowhere.json"),
    "a folder as config": (["--config", "."], 2, "--config"),
    "prototypes that are not there": (
        ["--model", "mediq", "--prototype-file", "nowhere.npz"],
        3,
        "nowhere.npz: cannot be",
    ),
    "too few images for components": (
        ["--model", "mosaiq", "--limit", "20", "--batch-size", "4"],
        3,
        "principal components need more than",
    ),
}
BAD_FILES = {
    "empty": ("", "not JSON"),
    "cut short": ('{"model": ', "not JSON"),
    "binary": (b"\x89PNG\xff\xfe", "not JSON"),
    "nested too deep": ("[" * 100_000, "not JSON"),
    "a list": ("[]", "not a JSON object"),
    "unknown section": ({"modle": {}}, "'modle' is not a section"),
    "section is text": ({"model": "hybridq"}, "'model' is not a section"),
    "section is null": ({"training": None}, "'training' is not a section"),
    "unknown key": ({"training": {"lr": 1}}, "lr is not a setting of training"),
    "wrong type": ({"training": {"steps": "many"}}, "training.steps"),
    "out of range": ({"model": {"reps": -1}}, "model.reps"),
    "true for a number": ({"training": {"lr_quantum": [1]}}, "training.lr_quantum"),
    "NaN": ('{"training": {"gp_weight": NaN}}', "training.gp_weight"),
    "infinite": ('{"training": {"reconstruction_weight": 1e999}}', "training.reconstruction_weight"),
    "unknown model": ({"model": {"name": "gan"}}, "no such model"),
    "model is a list": ({"model": {"name": ["dcgan"]}}, "no such model"),
    "preset is a list": ({"preset": ["paper"]}, "hybridq has"),
    "key of another model": ({"model": {"name": "dcgan", "reps": 3}}, "reps is not a setting"),
    "format of the future": ({"format": 2}, "format 2, this version reads 1"),
    "adaptive with hinge": (
        {"model": {"latent_range": "adaptive"}, "training": {"loss": "hinge"}},
        "needs training.loss",
    ),
}


def one_line(err):
    """The error line: the only one besides notes, whole, and short enough to read."""
    errors = [line for line in err.splitlines() if not line.startswith(("note: ", "data: "))]
    assert len(errors) == 1, err
    assert errors[0].startswith("error: "), err
    assert len(errors[0]) < 400
    return errors[0]


@pytest.mark.parametrize("what", BAD_OPTIONS)
def test_bad_options_end_in_one_line_and_leave_nothing(
    what, main, tiny_options, own_circuit_options, tmp_path, monkeypatch
):
    arguments, expected, piece = BAD_OPTIONS[what]
    monkeypatch.chdir(tmp_path)
    plain = "--resume" in arguments or "--model" in arguments or "--config" in arguments
    base = [] if plain else own_circuit_options if "--ansatz" in arguments else tiny_options
    status, out, err = main("fit", "--outdir", "out", *base, *arguments)
    line = one_line(err)
    assert piece in line
    assert (status, out) == (expected, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_config_files(what, main, tmp_path, monkeypatch):
    content, piece = BAD_FILES[what]
    monkeypatch.chdir(tmp_path)
    data = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    (tmp_path / FILE).write_bytes(data)
    status, out, err = main("fit", "--outdir", "out", "--config", FILE)
    assert piece in one_line(err)
    assert (status, out) == (2, "")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "OPENQASM 3.0; qubit[2] q; measure q;",
        "OPENQASM 3.0; input float x_000; qubit[1] q; ry(x_000) q[0];",
    ],
)
def test_bad_circuits(text, main, own_circuit_options, tmp_path):
    (tmp_path / "mine.qasm").write_text(text)
    status, out, err = main(
        "fit", "--outdir", tmp_path / "out", *own_circuit_options, "--ansatz", tmp_path / "mine.qasm"
    )
    assert "mine.qasm" in one_line(err)
    assert (status, out) == (2, "")
    assert not (tmp_path / "out").exists()


def test_bad_places_to_write(main, tiny_options, tmp_path):
    (tmp_path / "file").write_text("x")
    status, _, err = main("fit", *tiny_options, "--outdir", tmp_path / "file")
    assert status == 2
    assert "--outdir" in one_line(err)
    status, _, err = main("fit", *tiny_options, "--outdir", tmp_path / "file" / "out")
    assert status == 6
    assert "cannot make a run folder" in one_line(err)


BROKEN = {
    "empty": "",
    "more than JSON": "{}x",
    "another format": '{"format": 7}',
    "out of range": '{"model": {"name": "hybridq", "reps": 0}}',
    "no object": "[]",
    "a rule between settings": '{"model": {"name": "hybridq", "latent_range": "adaptive"}, "training": {"loss": "hinge"}}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_run_config_is_a_checkpoint_error(content, main, tmp_path):
    (tmp_path / "config.json").write_text(content)
    for arguments in (["fit", "--resume", tmp_path], ["generate", tmp_path]):
        status, out, err = main(*arguments)
        assert (status, out) == (4, "")
        assert f"{tmp_path / 'config.json'}: " in one_line(err)
        assert ": : " not in err
        assert "Value error" not in err


def random_settings(numbers):
    """A configuration away from the defaults in about half of its settings."""
    choose = lambda *values: numbers.choice(values)  # noqa: E731
    loss = choose("bce", "hinge", "wgan-gp")
    if numbers.random() < 0.3:
        model = ["--model", "dcgan", "--latent-size", choose(5, 100), "--generator-width", choose(8, 64)]
    else:
        model = [
            "--preset",
            choose("default", "quick", "paper"),
            "--num-qubits",
            choose(1, 20),
            "--reps",
            choose(1, 200),
        ]
        model += ["--mode", choose("image", "fusion"), choose("--classical-baseline", "--no-classical-baseline")]
        adaptive = loss == "bce" and numbers.random() < 0.5
        model += (
            ["--latent-range", "adaptive"]
            if adaptive
            else ["--latent-range", "fixed", "--latent-high", choose(0.1, 3.3)]
        )
    training = [
        "--discriminator-norm",
        "spectral" if loss == "wgan-gp" else choose("batch", "spectral"),
        "--loss",
        loss,
        "--seed",
        choose(0, 2**63 - 1),
        "--lr-quantum",
        choose(1e-7, 0.3),
        "--beta1",
        choose(0, 0.9),
    ]
    training += ["--diff-augment", choose("none", "cutout,color"), choose("--tensorboard", "--no-tensorboard")]
    training += ["--steps", choose(1, 77)] if numbers.random() < 0.5 else ["--epochs", 3]
    data = ["--resolution", choose(16, 512), "--class", choose("all", "MEL"), "--data", choose("a b/ü", "/x.zip")]
    return [*model, *training, *data]


def test_dry_run_prints_what_config_accepts_and_reproduces(main, tmp_path):
    numbers = random.Random(1)
    seen = set()
    for number in range(25):
        status, text, err = main("fit", "--outdir", tmp_path / "out", "-n", *random_settings(numbers))
        assert (status, err) == (0, ""), err
        config = RunConfig.model_validate_json(text)
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        assert main("fit", "--config", path, "--dry-run") == (0, text, "")
        # Options win over the file.
        _, changed, _ = main("fit", "--config", path, "-n", "--batch-size", "17")
        assert RunConfig.model_validate_json(changed) == config.updated({"training": {"batch_size": 17}})
        seen.add(text)
    assert len(seen) == 25
    assert not (tmp_path / "out").exists()


def test_dry_run_says_what_the_data_hold_without_decoding_them(main, tmp_path):
    for name in ("train/mel/1.png", "train/mel/2.png", "train/nv/3.png", "test/mel/4.png", "test/nv/5.png"):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not decoded")
    status, text, err = main("fit", "-n", "--data", tmp_path / "source")
    assert status == 0 and RunConfig.model_validate_json(text).data.split is None
    assert err == (
        "data: folders; 5 images: mel 3, nv 2; the source's own splits: test 2, train 3; patients or lesions: unknown\n"
    )
    (tmp_path / "source" / "loose.png").write_bytes(b"")
    status, _, err = main("fit", "-n", "--data", tmp_path / "source")
    assert status == 3 and "--layout" in one_line(err)
    assert main("fit", "-n", "--data", tmp_path / "elsewhere")[::2] == (0, "")


def test_options_reach_the_settings_they_are_named_after(main):
    """Every option once, with a value that is not the default."""
    from qgan_qiskit.cli.options import SECTIONS, _iterate_fields, option_name
    from qgan_qiskit.config import EvaluationConfig

    values = {
        "latent_range": None,
        "ansatz": "f",
        "input_names": "p*",
        "weight_names": "w*",
        "path": "p",
        "class_name": "c",
        "cache_dir": "d",
        **dict.fromkeys(("table", "image_column", "label_column", "group_column", "split_column"), "t"),
        **dict.fromkeys(("include", "exclude"), "*.png"),
        "layout": "folders",
        "split": "train",
        "device": "cuda:1",
        "diff_augment": "cutout",
        "metrics": "ssim",
        "fid_weights": "w",
        "weights": "w",
        "prototype_file": "p",
        "devices": 2,
        # Sizes that make sense for one model only together.
        "num_ancillas": 0,
    }
    company = {
        **{name: ["--metrics", "ssim"] for name in EvaluationConfig.model_fields if name != "metrics"},
        **{name: ["--ansatz", "f"] for name in ("input_names", "weight_names")},
        **{f"{name}_column": ["--table", "t"] for name in ("image", "label", "group", "split")},
        "diff_augment_from": ["--diff-augment", "cutout"],
        "num_ancillas": ["--num-qubits", "4"],
        "gp_weight": ["--loss", "wgan-gp", "--discriminator-norm", "spectral"],
        "reconstruction_weight": ["--mode", "latent"],
        "critic": ["--loss", "bce"],
        "trained_stages": ["--backbone", "mobilenet_v2"],
    }
    for section, name, field, users in _iterate_fields(SECTIONS):
        value = values.get(name, "")
        arguments = ["--model", users.split(", ")[0] or "hybridq", *company.get(name, [])]
        if value is None:
            value = "adaptive"
        elif value == "":
            kind = str(field.annotation)
            value = (
                (not field.default)
                if "bool" in kind
                else next(choice for choice in field.annotation.__args__ if choice != field.default)
                if "Literal" in kind
                else 32
                if name == "resolution"
                else 16
                if "int" in kind
                else 0.25
            )
        flag = option_name(name)
        arguments += [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, value]
        status, text, err = main("fit", "-n", *arguments)
        assert (status, err) == (0, ""), err
        # An option that can be given several times ends in a list.
        assert json.loads(text)[section][name] == ([value] if name in ("include", "exclude") else value), flag


@pytest.fixture(scope="module")
def cut(tiny, tmp_path_factory):
    """A run of real files that was stopped at step 4 of 6, and a function that makes copies of it."""
    import shutil

    folder = tmp_path_factory.mktemp("data")
    numbers = np.random.default_rng(0)
    for kind in ("a", "b"):
        (folder / kind).mkdir()
        for number in range(9):
            pixels = numbers.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    config = tiny(data={"path": str(folder), "class_name": "a"}, training={"steps": 4})
    (run,) = fit(config, tmp_path_factory.mktemp("runs"))
    copies = tmp_path_factory.mktemp("copies")

    def copy(name):
        shutil.copytree(run, copies / name)
        return copies / name

    return folder, copy


def test_resume_accepts_what_does_not_change_the_run(cut, main):
    _, copy = cut
    run = copy("accepted")
    status, text, err = main(
        "fit", "--resume", run, "-n", "--steps", 9, "--snap", 5, "--keep", 3, "--grid-every", 2, "--log-every", 2
    )
    assert (status, err) == (0, "")
    assert RunConfig.model_validate_json(text).training.steps == 9
    assert main("fit", "--resume", run, "--steps", 5, "--keep", 3)[0] == 0
    assert [path.name for path in checkpoint.published(run / "checkpoints")][-1] == "step-00000005"
    # What was given is kept for the next time, and epochs count again once they are given.
    kept = json.loads((run / "config.json").read_text())["training"]
    assert (kept["steps"], kept["keep"]) == (5, 3)
    status, text, _ = main("fit", "--resume", run, "-n", "--epochs", 2)
    assert (json.loads(text)["training"]["steps"], json.loads(text)["training"]["epochs"]) == (None, 2)


def test_resume_auto_takes_the_newest(main, tiny_options, tmp_path):
    for _ in range(2):
        assert main("fit", *tiny_options, "--steps", 1, "--outdir", tmp_path)[0] == 0
    status, _, err = main("fit", "--resume", "auto", "--steps", 2, "--outdir", tmp_path)
    assert status == 0
    assert f"{tmp_path / '00001-hybridq-default-nevus'}: hybridq" in err
    assert checkpoint.published(tmp_path / "00000-hybridq-default-nevus" / "checkpoints")[-1].name == "step-00000001"


@pytest.mark.parametrize("change", ["pixel", "more", "fewer"])
def test_resume_refuses_other_images(change, cut, main):
    folder, copy = cut
    run = copy(change)
    path, extra = folder / "a" / "3.png", folder / "a" / "9.png"
    before = path.read_bytes()
    if change == "pixel":
        picture = Image.open(path)
        picture.putpixel((0, 0), tuple(255 - value for value in picture.getpixel((0, 0))))
        picture.save(path)
    elif change == "more":
        extra.write_bytes((folder / "b" / "1.png").read_bytes())
    else:
        path.write_bytes((folder / "b" / "1.png").read_bytes())
    status, out, err = main("fit", "--resume", run, "--steps", 6)
    path.write_bytes(before)
    extra.unlink(missing_ok=True)
    assert (status, out) == (4, "")
    assert "the images differ" in err.splitlines()[-1]
    assert json.loads((run / "config.json").read_text())["training"]["steps"] == 4
    assert main("fit", "--resume", run, "--steps", 6)[0] == 0


def test_every_class_gets_a_gan_and_bad_images_of_the_last_are_found_first(cut, main, tiny_options, tmp_path):
    folder, _ = cut
    options = [*tiny_options, "--data", folder, "--steps", 1, "--outdir", tmp_path / "out"]
    bad = folder / "b" / "bad.png"
    bad.write_bytes(b"no picture")
    status, _, err = main("fit", *options, "--class", "ALL")
    assert status == 3
    assert "bad.png" in err
    assert not (tmp_path / "out").exists()
    bad.unlink()
    status, _, _ = main("fit", *options, "--class", "ALL")
    assert status == 0
    assert [run.name for run in sorted((tmp_path / "out").iterdir())] == [
        "00000-hybridq-default-a",
        "00001-hybridq-default-b",
    ]
    for run in (tmp_path / "out").iterdir():
        assert json.loads((run / "data.json").read_text())["counts"] == {run.name[-1]: 9}
        assert json.loads((run / "config.json").read_text())["data"]["class_name"] == run.name[-1]


def test_made_lesions_without_a_class_train_all_three(main, tiny_options, tmp_path):
    options = without(tiny_options, "--class")
    assert main("fit", *options, "--steps", 1, "--outdir", tmp_path)[0] == 0
    assert [run.name.rpartition("-")[2] for run in sorted(tmp_path.iterdir())] == ["nevus", "melanoma", "keratosis"]


def test_own_circuit_is_kept_and_outlives_its_file(main, own_circuit_options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = circuit_spec_to_qasm(hybridq_ansatz(2, 3, encoding="ry_rx", entangler="cz"))
    (tmp_path / "mine.qasm").write_text(text)
    status, _, err = main("fit", *own_circuit_options, "--ansatz", "mine.qasm", "--outdir", "out")
    assert status == 0
    assert "12 quantum" in err  # 2 sub-generators of 2 qubits and 3 layers, not the options' 3 qubits.
    (tmp_path / "mine.qasm").unlink()
    (run,) = (tmp_path / "out").iterdir()
    assert (run / "circuit.qasm").read_text() == text
    moved = run.rename(tmp_path / "elsewhere")
    assert main("generate", moved, "-n", 3, "--output", tmp_path / "images")[0] == 0
    assert len(list((tmp_path / "images").iterdir())) == 3
    assert main("fit", "--resume", moved, "--steps", 7)[0] == 0
    # Its config.json starts the same run again, from any folder.
    status, shown, _ = main("fit", "-n", "--config", "elsewhere/config.json")
    assert status == 0
    assert json.loads(shown)["model"]["ansatz"] == "elsewhere/circuit.qasm"
    assert main("fit", "--config", "elsewhere/config.json", "--steps", 6, "--outdir", "again")[0] == 0
    (again,) = (tmp_path / "again").iterdir()
    names = ("generator", "ema", "discriminator")
    first, second = (
        [(r / "checkpoints" / "step-00000006" / f"{n}.safetensors").read_bytes() for n in names] for r in (moved, again)
    )
    assert first == second


def test_a_finished_run_holds_what_the_guide_says_and_says_nothing_odd(main, tiny_options, tmp_path):
    status, out, err = main("fit", *tiny_options, "--tensorboard", "--outdir", tmp_path)
    assert (status, out) == (0, "")
    assert "Warning" not in err
    assert err.splitlines()[-1].startswith("done: ")
    (run,) = tmp_path.iterdir()
    names = {path.name for path in run.iterdir()} - {".lock"}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert len(events) == 1
    assert names - events == {
        *("config.json", "versions.json", "data.json", "stats.jsonl", "circuit.qasm", "circuit.json", "checkpoints"),
        *("reals.png", "fakes_init.png", "fakes_000003.png", "fakes_000006.png"),
    }
    assert json.loads((run / "versions.json").read_text())["torch"]
    assert [path.name for path in checkpoint.published(run / "checkpoints")] == ["step-00000004", "step-00000006"]
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for name, size in (("reals.png", 8 * 18 + 2), ("fakes_init.png", 8 * 18 + 2)):
        with Image.open(run / name) as picture:
            assert picture.size == (size, size)


def test_real_processes_killed_three_times_end_like_one_that_was_not(tiny, tiny_options, tmp_path):
    """F2 from outside: python -m qgan_qiskit.cli, SIGKILL at random moments, --resume."""
    steps, moments = 60, random.Random(11)
    (uncut,) = fit(tiny(training={"steps": steps, "snap": 4}), tmp_path / "uncut")
    run = tmp_path / "runs" / uncut.name
    begin = ["fit", *tiny_options, "--steps", steps, "--snap", 4, "--outdir", run.parent]
    killed = 0
    for attempt in range(4):
        arguments = ["fit", "--resume", run] if attempt else begin
        command = [sys.executable, "-W", "error::UserWarning", "-m", "qgan_qiskit.cli", *map(str, arguments)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        if attempt < 3:
            target = moments.randrange(attempt * 18 + 1, attempt * 18 + 15)
            while lines(run / "stats.jsonl") < target and process.poll() is None:
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=120)
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), err
        assert "Traceback" not in err
        assert "Warning" not in err
    assert killed == 3
    assert fingerprint(run) == fingerprint(uncut)
    assert not leftovers(run)
