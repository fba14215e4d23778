"""The errors a user can cause or meet: one line that names the culprit and the remedy, and an exit code of its own."""


class QganError(Exception):
    """Base of every error that the command line prints as one line.

    Attributes:
        exit_code: the process exit status that the command line ends with.
    """

    exit_code = 1


class UsageError(QganError):
    """An option, a configuration or a circuit that cannot be used (exit status 2)."""

    exit_code = 2


class CircuitError(UsageError):
    """A circuit that this library cannot train or simulate; the message names the offending gate or parameter."""


class MemoryNeededError(CircuitError):
    """A circuit that takes more memory than there is; the message states the bytes needed."""


class DataError(QganError):
    """Images or labels that are missing, unreadable or inconsistent (exit status 3)."""

    exit_code = 3


class CheckpointError(QganError):
    """A run folder or checkpoint that is missing, damaged or of another model (exit status 4)."""

    exit_code = 4


class DivergedError(QganError):
    """A loss, gradient or weight that is no longer finite; nothing was updated with it (exit status 5)."""

    exit_code = 5


class StorageError(QganError):
    """The disk refused a write; what was published before is whole (exit status 6)."""

    exit_code = 6


class RemoteError(QganError):
    """A quantum service that refused, failed or answered nonsense; jobs that were submitted stay known (exit status 7)."""

    exit_code = 7
