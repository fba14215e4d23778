"""The command line: one file per command, each loaded only when it is used.

Keep this file and every command's imports light: ``--help`` must not wait for torch or Qiskit.
"""

from __future__ import annotations

import importlib
from typing import ClassVar

import click

# Command -> its line in the overview, so that the overview imports no command.
_COMMANDS = {
    "fit": "Train a GAN on images, or go on with a run.",
    "generate": "Make images from a run or checkpoint.",
    "study": "Compare models, and other whole experiments.",
    "evaluate": "Measure trained runs: FID and others, copies of training images.",
    "prototypes": "Mean features of each class, for MediQ-GAN to start from.",
    "hardware": "Circuits on an IBM device: cost, submit, status, collect, cancel.",
    "circuit": "Draw circuits; print and compare the reference circuits.",
}


class LazyGroup(click.Group):
    """A group whose commands live in ``qgan_qiskit.cli.<prefix><name>:command`` and are imported on use.

    Attributes:
        lines: command -> its line in the overview.
        prefix: what the modules' names begin with.
    """

    lines: ClassVar[dict[str, str]] = _COMMANDS
    prefix = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        return list(self.lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.lines:
            return None
        command: click.Command = importlib.import_module(f"qgan_qiskit.cli.{self.prefix}{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="qgan_qiskit")
def cli() -> None:
    """Hybrid quantum-classical GANs for color medical images, on Qiskit and PyTorch."""
