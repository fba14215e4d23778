"""Files that lie in memory, so that generated cases need no disk."""

from __future__ import annotations

from pathlib import Path

from qgan_qiskit.data.files import Files


class MemoryFiles(Files):
    """A folder of {name: bytes}, with nothing around it."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.root = Path("/nowhere/source")
        self.content = content
        self.names = sorted(content)

    def read(self, name: str) -> bytes:
        return self.content[name]

    def fingerprint(self) -> list[str]:
        return self.names
