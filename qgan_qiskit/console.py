"""Log lines on standard error for the command line; as a library the package is quiet."""

from __future__ import annotations

import logging
import sys

from tqdm import tqdm


class _StderrHandler(logging.Handler):
    """Write to the present standard error, without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "note: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + record.getMessage(), file=sys.stderr)
        sys.stderr.flush()


def log_to_stderr() -> None:
    """Write the package's log records from INFO on to standard error; idempotent."""
    logger = logging.getLogger("qgan_qiskit")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())


def logs_to_stderr() -> bool:
    """Return whether :func:`log_to_stderr` was called in this process; worker processes are told so."""
    return any(isinstance(handler, _StderrHandler) for handler in logging.getLogger("qgan_qiskit").handlers)
