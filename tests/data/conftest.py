"""What the tests of the data package share: small pictures, folders of files, settings with a private cache."""

from collections.abc import Callable
from pathlib import Path

import pytest
from data_sources import encoded, picture

from qgan_qiskit.config import DataConfig

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data, or skip."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs the real data of {SHARED}, which is not there")
    return SHARED / "data"


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Return a function (seed, size) -> bytes of a PNG."""
    return lambda seed=0, size=(16, 16): encoded(picture(seed, size))


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes files ({name: bytes or text}) below a new folder and returns it."""

    def write(files: dict[str, bytes | str], folder: str = "source") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., DataConfig]:
    """Return a function that makes settings of 16x16 images with a cache of this test's own."""

    def make(path: Path, **fields: object) -> DataConfig:
        return DataConfig(**{"path": str(path), "resolution": 16, "cache_dir": str(tmp_path / "cache"), **fields})

    return make
