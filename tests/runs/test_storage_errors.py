"""Fault F4: the disk refuses. One error that names the path; what was published before is whole; nothing half is left."""

import errno
import shutil

import pytest
from disk_faults import failing_at, points
from PIL import Image
from test_checkpoint_kills import is_whole, save

from qgan_qiskit.errors import StorageError
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.run_folder import RunFolder
from qgan_qiskit.workflows.fit import fit

CODES = [errno.ENOSPC, errno.EACCES, errno.EIO]


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_every_point_of_a_save(code, ram_path):
    base = ram_path / "base"
    for step in (1, 2):
        save(base, step)
    shutil.copytree(base, ram_path / "counted")
    names = points(lambda: save(ram_path / "counted", 3))
    for number, name in enumerate(names):
        if not name.startswith("before") and name != "half of write":
            continue
        folder = ram_path / f"folder{number}"
        shutil.copytree(base, folder)
        with pytest.raises(StorageError) as refused, failing_at(number, code):
            save(folder, 3)
        message = str(refused.value)
        assert str(folder) in message, name
        assert refused.value.exit_code == 6
        assert "\n" not in message
        newest = checkpoint.load_newest(folder)[0]
        assert newest.name in ("step-00000002", "step-00000003")
        assert is_whole(newest, int(newest.name[-1]))
        assert is_whole(folder / "step-00000002", 2)
        if "not written" in message and name != "before unlink":
            assert not list(folder.glob(".*.staging")), name
        # The disk has room again: the next save succeeds.
        save(folder, 4)
        assert sorted(p.name for p in folder.iterdir())[-1] == "step-00000004"


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("what", ["settings", "picture", "log", "create"])
def test_the_run_folders_files(what, code, ram_path, tiny):
    run = RunFolder.create(ram_path, tiny(), "a")
    run.append_row("stats.jsonl", {"step": 1})
    run.write_text("note.txt", "before")
    picture = Image.new("RGB", (3, 3))
    action, named = {
        "settings": (lambda: run.write_text("note.txt", "after"), "note.txt"),
        "picture": (lambda: run.write_picture("note.txt", picture), "note.txt"),
        "log": (lambda: run.append_row("stats.jsonl", {"step": 2}), "stats.jsonl"),
        "create": (lambda: RunFolder.create(ram_path / "other", tiny(), "b"), "other"),
    }[what]
    names = points(action)
    tried = 0
    for number, name in enumerate(names):
        if name.startswith("after"):
            continue
        shutil.rmtree(ram_path / "other", ignore_errors=True)
        run.write_text("note.txt", "before")
        with pytest.raises(StorageError) as refused, failing_at(number, code):
            action()
        assert named in str(refused.value)
        assert "free space" in str(refused.value) or "--outdir" in str(refused.value)
        assert (run.path / "note.txt").read_text() == "before"
        assert not [path for path in run.path.iterdir() if "staging" in path.name]
        tried += 1
    assert tried >= 3


def test_a_run_folder_that_cannot_be_locked(tmp_path):
    with (
        pytest.raises(StorageError, match=r"nowhere/\.lock: cannot be written \(No such file"),
        RunFolder(tmp_path / "nowhere"),
    ):
        pass


@pytest.mark.parametrize("refused", ["checkpoint", "picture", "log"])
def test_a_run_on_a_full_disk_ends_with_status_6_and_goes_on_later(
    refused, main, tiny, tiny_options, tmp_path, monkeypatch
):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if refused == "checkpoint":
            write = checkpoint._write
            patch.setattr(checkpoint, "_write", lambda p, d: full() if "00000004" in str(p) else write(p, d))
        else:
            name = {"picture": "write_bytes", "log": "append_row"}[refused]
            original = getattr(RunFolder, name)

            def fail(self, first, *rest):
                row = rest[0] if rest and isinstance(rest[0], dict) else {}
                if first == "fakes_000006.png" or row.get("step") == 5:
                    raise StorageError(f"{self.path}: not written (No space left on device)")
                return original(self, first, *rest)

            patch.setattr(RunFolder, name, fail)
        status, out, err = main("fit", "--outdir", tmp_path / "cut", *tiny_options)
    assert (status, out) == (6, "")
    assert [line.startswith("error: ") for line in err.splitlines()].count(True) == 1
    assert "no space left" in err.lower()
    (run,) = (tmp_path / "cut").iterdir()
    newest = checkpoint.load_newest(run / "checkpoints")[0]
    assert newest.name == ("step-00000002" if refused == "checkpoint" else "step-00000004")
    assert main("fit", "--resume", run)[0] == 0
    from tiny_runs import fingerprint, leftovers

    (uncut,) = fit(tiny(), tmp_path / "uncut")
    assert fingerprint(run) == fingerprint(uncut)
    assert not leftovers(run)
