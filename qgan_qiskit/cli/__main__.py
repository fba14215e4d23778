"""``python -m qgan_qiskit.cli``: runs a command; whatever goes wrong ends in one line and an exit status of its kind.

Exit status: 0 done, 2 usage, 3 data, 4 checkpoint, 5 diverged, 6 storage, 7 remote service, 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import sys

import click

from qgan_qiskit.cli import cli
from qgan_qiskit.console import log_to_stderr
from qgan_qiskit.errors import QganError

_OUT_OF_MEMORY = (
    "out of memory: take fewer or smaller images (--limit, --resolution), a smaller --batch-size, or fewer --num-qubits or "
    "--sub-generators"
)


def main() -> None:
    """Run the command line and exit."""
    log_to_stderr()
    try:
        sys.exit(cli.main(prog_name="python -m qgan_qiskit.cli", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        where = (
            error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "python -m qgan_qiskit.cli"
        )
        _fail(f"{error.format_message()} (see {where} --help)", error.exit_code)
    except click.Abort:
        _fail("stopped", 130, "")
    except KeyboardInterrupt:
        _fail("stopped", 130, "")
    except QganError as error:
        # A run that was asked to stop has stopped in order; the exit status says by which signal.
        _fail(str(error), error.exit_code, "" if error.exit_code > 128 else "error: ")
    except MemoryError:
        _fail(_OUT_OF_MEMORY, 1)
    except RuntimeError as error:
        # torch has no class for it on the processor.
        if "allocate memory" not in str(error):
            raise
        _fail(_OUT_OF_MEMORY, 1)
    except BrokenPipeError:
        # The reader of our output has gone (``| head``); there is nobody left to tell.
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions", 6)


def _fail(message: str, status: int, prefix: str = "error: ") -> None:
    print(prefix + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
