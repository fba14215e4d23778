"""``python -m qgan_qiskit.cli``: run a command; every failure ends in one line and an exit status of its kind.

Exit status: 0 done, 2 usage, 3 data, 4 checkpoint, 5 diverged, 6 storage, 7 remote service, 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from qgan_qiskit.cli import cli
from qgan_qiskit.console import log_to_stderr
from qgan_qiskit.errors import QganError

_PROGRAM = "python -m qgan_qiskit.cli"
_OUT_OF_MEMORY = (
    "out of memory: use fewer or smaller images (--limit, --resolution), a smaller --batch-size, or fewer --num-qubits or "
    "--sub-generators"
)


def main() -> None:
    """Run the command line and exit."""
    log_to_stderr()
    try:
        sys.exit(cli.main(prog_name=_PROGRAM, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else _PROGRAM
        _exit(f"{error.format_message()} (see {command} --help)", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit("stopped", 130, prefix="")
    except QganError as error:
        # Above 128 it is not an error: a run stopped in order after a signal.
        _exit(str(error), error.exit_code, prefix="" if error.exit_code > 128 else "error: ")
    except MemoryError:
        _exit(_OUT_OF_MEMORY, 1)
    except RuntimeError as error:
        # torch has no exception class for running out of CPU memory.
        if "allocate memory" not in str(error):
            raise
        _exit(_OUT_OF_MEMORY, 1)
    except BrokenPipeError:
        # The reader of the output has ended (``| head``), so a message would reach nobody.
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        _exit(f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions", 6)


def _exit(message: str, status: int, prefix: str = "error: ") -> NoReturn:
    print(prefix + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
