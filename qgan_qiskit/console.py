"""What the package logs, as plain lines on standard error: the command line shows it, a library keeps quiet."""

from __future__ import annotations

import logging
import sys

from tqdm import tqdm


class _StderrHandler(logging.Handler):
    """Write to whatever standard error is now, without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "note: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + record.getMessage(), file=sys.stderr)
        sys.stderr.flush()


def log_to_stderr() -> None:
    """Show what the package logs, from INFO on; a second call changes nothing."""
    logger = logging.getLogger("qgan_qiskit")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())


def logs_to_stderr() -> bool:
    """Return whether :func:`log_to_stderr` was called in this process, so that a process it starts does the same."""
    return any(isinstance(handler, _StderrHandler) for handler in logging.getLogger("qgan_qiskit").handlers)
