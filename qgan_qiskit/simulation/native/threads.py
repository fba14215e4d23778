"""Threads that wait for compiled functions to run.

An executor's futures take as long as some tiles of a small circuit; a queue for the calls and one for the ends does not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Call = tuple[Callable[..., None], tuple[Any, ...], "SimpleQueue[BaseException | None]"]
_calls: SimpleQueue[_Call] = SimpleQueue()
_started = 0
_lock = threading.Lock()


def run_beside(function: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Call a function once for each tuple of arguments, at the same time: the first in this thread, the others beside it.

    The function should release the interpreter's lock.
    """
    ends: SimpleQueue[BaseException | None] = SimpleQueue()
    first, *others = arguments
    _start(len(others))
    for other in others:
        _calls.put((function, other, ends))
    errors: list[BaseException] = []
    try:
        function(*first)
    finally:
        waiting = len(others)
        while waiting:
            # Whatever happens: memory that the others write to must not be given back before they have ended.
            try:
                error = ends.get()
            except KeyboardInterrupt as interrupt:
                errors.append(interrupt)
                continue
            waiting -= 1
            errors += [error] if error is not None else []
    if errors:
        raise errors[0]


def _start(count: int) -> None:
    """Start threads until there are at least ``count``."""
    global _started
    if _started >= count:
        return
    with _lock:
        while _started < count:
            threading.Thread(target=_serve, name=f"simulation-{_started}", daemon=True).start()
            _started += 1


def _serve() -> None:
    while True:
        function, arguments, ends = _calls.get()
        error: BaseException | None = None
        try:
            function(*arguments)
        except BaseException as raised:
            error = raised
        ends.put(error)
        del function, arguments, ends, error


def _forget() -> None:
    """Forget the threads in a process that was forked: they did not come along."""
    global _started, _calls, _lock
    _started, _calls, _lock = 0, SimpleQueue(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
