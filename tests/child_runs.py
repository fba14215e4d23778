"""The command line in processes of its own, which a test may signal or kill.

They are forked from a server that has imported everything and computed nothing, so each starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["qgan_qiskit.workflows.fit", "qgan_qiskit.cli.fit", "qgan_qiskit.cli.__main__"])


def start_main(arguments: list[str], output: Path, slow_step: float = 0.0) -> BaseProcess:
    """Start the command line; what it prints goes to a file.

    Args:
        arguments: of the command line.
        output: receives standard output and error.
        slow_step: seconds that every training step lasts longer.
    """
    process = _CONTEXT.Process(target=_main, args=([str(a) for a in arguments], str(output), slow_step))
    process.start()
    return process


def _main(arguments: list[str], output: str, slow_step: float) -> None:
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    if slow_step:
        from qgan_qiskit.training import loop

        step = loop.train_step

        def slowly(*arguments: object) -> object:
            time.sleep(slow_step)
            return step(*arguments)

        loop.train_step = slowly
    from qgan_qiskit.cli.__main__ import main

    sys.argv = ["qgan-qiskit", *arguments]
    main()


def wait_for(ready: Callable[[], bool], process: BaseProcess | None = None, seconds: float = 120.0) -> None:
    """Wait until something is so, a process has ended, or the time is up (a failure)."""
    end = time.monotonic() + seconds
    while not ready():
        if process is not None and not process.is_alive():
            return
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.003)


def lines(path: Path) -> int:
    """Return the number of lines of a file, 0 where there is none."""
    return path.read_bytes().count(b"\n") if path.is_file() else 0
