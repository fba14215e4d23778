"""Models of a comparison, and cells of equal budget."""

import hashlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_study import tiny_dcgan, tiny_hybridq

from qgan_qiskit.config import PRESETS
from qgan_qiskit.config.studies import CompareConfig
from qgan_qiskit.errors import DataError, UsageError
from qgan_qiskit.study.compare.plan import Cell, CompareStudy, make_study, plan_cells, run_config
from qgan_qiskit.study.compare.variants import Variant, parse_variants

EVERY = [(model, name) for model, names in PRESETS.items() for name in names]


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_every_preset_is_an_entry(model, name):
    """And is written as it is read; the settings are the preset's, but for the classical baseline."""
    for classical_baseline in (False, True):
        entry = Variant(model, name, classical_baseline)
        config = PRESETS[model][name]()
        if classical_baseline and not hasattr(config.model, "classical_baseline"):
            with pytest.raises(UsageError, match=r"has no circuits to replace; leave \+baseline out"):
                parse_variants(str(entry))
            continue
        assert parse_variants(str(entry)) == (entry,)
        assert entry.config() == (
            config.updated({"model": {"classical_baseline": True}}) if classical_baseline else config
        )


def test_a_list_of_entries():
    assert [str(entry) for entry in parse_variants("hybridq, hybridq+baseline,hybridq:paper,dcgan:default")] == [
        "hybridq",
        "hybridq+baseline",
        "hybridq:paper",
        "dcgan",
    ]
    assert Variant("hybridq", "paper", True).slug == "hybridq-paper-baseline"


@pytest.mark.parametrize(
    "text", ["", ",", "hybridq,", "HYBRIDQ", "hybridq:", "hybridq+", "hybridq+baseline+baseline", "a/b", ":x"]
)
def test_what_is_no_list_of_entries(text):
    with pytest.raises(UsageError, match="--models"):
        parse_variants(text)


@settings(max_examples=30)
@given(
    images=st.integers(8, 5000),
    epochs=st.integers(1, 200),
    curve_every=st.integers(0, 50),
    batches=st.lists(st.integers(2, 64), min_size=1, max_size=4),
)
def test_budgets_are_equal_but_for_less_than_a_batch(images, epochs, curve_every, batches):
    settings = CompareConfig(
        epochs=epochs, curve_every=curve_every, data={"resolution": 16}, evaluation={"metrics": "ssim"}
    )
    for batch_size in batches:
        if batch_size > images:
            continue
        name = f"b{batch_size}"
        PRESETS["dcgan"][name] = lambda b=batch_size: tiny_dcgan().updated({"training": {"batch_size": b}})
        try:
            config = run_config(Variant("dcgan", name), settings, "nevus", 3, images)
        finally:
            del PRESETS["dcgan"][name]
        seen = config.training.steps * batch_size
        assert 0 <= epochs * images - seen < batch_size
        if curve_every:
            points = config.evaluation.metrics_every * batch_size
            assert (
                abs(points - curve_every * images) <= max(batch_size / 2, 1e-9) or config.evaluation.metrics_every == 1
            )
            assert (config.evaluation.metrics, config.evaluation.bootstrap) == ("ssim", 0)
        else:
            assert config.evaluation.metrics == "none"


def test_recipes_are_the_presets_own():
    """Everything but the study's own settings comes from the preset, its augmentation included unless one is asked for."""
    settings = CompareConfig(epochs=3, data={"resolution": 64, "color": "grayscale"}, evaluation={"metrics": "ssim"})
    for model, name in EVERY:
        entry = Variant(model, name)
        preset = entry.config()
        try:
            config = run_config(entry, settings, "MEL", 5, 1000)
        except UsageError as error:
            assert f"--models '{entry}': " in str(error)
            continue
        assert config.model == preset.model
        theirs = preset.training.model_dump() | {"epochs": 3, "steps": config.training.steps, "seed": 5}
        assert config.training.model_dump() == theirs | {"device": "cpu", "threads": None}
        assert config.data.augment == preset.data.augment
        assert (config.data.color, config.data.class_name) == ("grayscale", "MEL")
        flipped = run_config(entry, settings.model_copy(update={"augment": "flip"}), "MEL", 5, 1000)
        assert flipped.data.augment == "flip"


def test_cells_of_a_study(tmp_path, image_cache, monkeypatch):
    monkeypatch.setitem(PRESETS["dcgan"], "tiny", tiny_dcgan)
    monkeypatch.setitem(PRESETS["hybridq"], "tiny", tiny_hybridq)
    data = {"cache_dir": str(image_cache), "resolution": 16, "synthetic_per_class": 20}
    settings = CompareConfig(epochs=1, data=data, evaluation={"metrics": "ssim"})
    study = make_study(tmp_path, settings, [], [], [], "study compare")
    entries = parse_variants("dcgan:tiny,hybridq:tiny+baseline")
    cells = plan_cells(study, entries, ("nevus", "melanoma"), (4, 2))
    assert len({cell.name for cell in cells}) == 8
    assert cells[1].name == "hybridq-tiny-baseline-nevus-s4"
    assert [cell.left_out for cell in cells[:2]] == [0, 4]
    # Made images differ with the seed and the class, and with nothing else.
    assert len({cell.data_digest for cell in cells}) == 4
    assert not any(tmp_path.iterdir())
    for cell in cells:
        again = pickle.loads(pickle.dumps(cell))
        assert again == cell
        assert again.config.model_dump() == cell.config.model_dump()


def test_too_few_images_name_model_and_class():
    settings = CompareConfig(evaluation={"metrics": "ssim"})
    with pytest.raises(DataError, match="dcgan: a batch of 64 does not fit 63 images of class MEL"):
        run_config(Variant("dcgan"), settings, "MEL", 0, 63)


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=80), unique=True))
def test_folders_of_classes_do_not_collide(names):
    """Whatever a class is called, its folder is one plain name of its own."""
    folders = []
    for name in names:
        cell = Cell(None, "", Variant("dcgan"), name, 0, 8, "", None, None)
        folders.append(cell.name)
        assert "/" not in cell.name
        assert len(cell.name.encode()) < 120
        assert cell.name.isascii()
    assert len(set(folders)) == len(folders)


def test_a_plain_class_name_is_kept():
    assert Cell(None, "", Variant("dcgan"), "MEL", 0, 8, "", None, None).name == "dcgan-default-MEL-s0"
    assert np.unique([Cell(None, "", Variant("dcgan"), n, 0, 8, "", None, None).name for n in ("a b", "a_b")]).size == 2


def test_models_that_join_a_study_bring_their_settings_and_find_those_of_others(tmp_path):
    made = {"data": {"resolution": 16, "synthetic_per_class": 16}, "evaluation": {"metrics": "ssim"}}

    def asked(models, **settings):
        config = CompareConfig(model_settings=settings, **made)
        return make_study(tmp_path, config, models, ["nevus"], [0], f"study compare {models}").join()

    asked(["dcgan:matched", "dcgan"])
    assert CompareStudy.read(tmp_path).settings.model_settings == {}
    # Now that it takes part, its settings are fixed; so are those of the one that joins.
    with pytest.raises(UsageError, match=r"model_settings.dcgan is {'latent_size': '9'} and was None"):
        asked(["dcgan"], dcgan={"latent_size": "9"})
    joined = asked(["transfer:none"], transfer={"decoder_width": "16"})
    assert joined == CompareStudy.read(tmp_path)
    assert joined.settings.model_settings == {"transfer": {"decoder_width": "16"}}
    with pytest.raises(UsageError, match=r"model_settings.transfer is {'decoder_width': '32'} and was"):
        asked(["transfer"], transfer={"decoder_width": "32"})
    # Whoever goes on need not say them again.
    again = asked(["transfer", "hybridq"])
    assert again.settings.model_settings == {"transfer": {"decoder_width": "16"}}
    assert again.models == ("dcgan:matched", "dcgan", "transfer:none", "transfer", "hybridq")
    config = run_config(Variant("transfer", "none"), again.settings, "nevus", 0, 100)
    assert config.model.decoder_width == 16


def test_a_file_that_settings_name_may_move_but_not_change(tmp_path):
    made = {"data": {"resolution": 16, "synthetic_per_class": 16}, "evaluation": {"metrics": "ssim"}}
    study, places = tmp_path / "study", [tmp_path / name for name in ("here.pth", "there.pth", "other.pth")]
    for place, content in zip(places, (b"weights", b"weights", b"others"), strict=True):
        place.write_bytes(content)

    def asked(place, **more):
        settings = CompareConfig(model_settings={"transfer": {"weights": str(place), **more}}, **made)
        return make_study(study, settings, ["transfer"], ["nevus"], [0], f"study compare {place}").join()

    digest = asked(places[0]).model_digests
    assert digest == {"transfer.weights": hashlib.sha256(b"weights").hexdigest()}
    for _ in range(2):
        moved = asked(places[1])
        assert moved.settings.model_settings == {"transfer": {"weights": str(places[1])}}
        assert moved == CompareStudy.read(study)
        assert moved.model_digests == digest
        with pytest.raises(UsageError, match=r"--model-setting transfer.weights: .* restore it"):
            asked(places[2])
        with pytest.raises(UsageError, match=r"model_settings.transfer is {'weights': .* and was"):
            asked(places[1], decoder_width="16")
        with pytest.raises(UsageError, match=r"--model-setting transfer.weights=.*gone.pth: cannot be read"):
            asked(tmp_path / "gone.pth")


def test_files_of_a_model_that_takes_no_part_may_change(tmp_path):
    """Its settings were given, but not one of its cells can depend on them."""
    made = {"data": {"resolution": 16, "synthetic_per_class": 16}, "evaluation": {"metrics": "ssim"}}
    for content in ("old", "new"):
        (tmp_path / content).write_text(content)

    def asked(model, file):
        settings = CompareConfig(model_settings={"transfer": {"weights": str(tmp_path / file)}}, **made)
        return make_study(tmp_path / "study", settings, [model], ["nevus"], [0], f"study compare {model}").join()

    asked("dcgan", "old")
    study = asked("transfer", "new")
    assert study.settings.model_settings == {"transfer": {"weights": str(tmp_path / "new")}}
    assert study.model_digests == {"transfer.weights": hashlib.sha256(b"new").hexdigest()}
    with pytest.raises(UsageError, match=r"--model-setting transfer.weights: .* restore it"):
        asked("transfer", "old")
