"""The command line: one module per command, imported only when it is used.

Keep this module and the top level of every command light: ``--help`` must import neither torch nor Qiskit.
"""

from __future__ import annotations

import importlib
from typing import ClassVar

import click

# Command -> its line in the overview, which therefore imports no command.
_COMMANDS = {
    "fit": "Train a GAN on images, or resume a run.",
    "generate": "Generate images from a run or checkpoint.",
    "study": "Compare models, and run other whole experiments.",
    "evaluate": "Evaluate trained runs: FID and other metrics, memorization.",
    "prototypes": "Compute mean features of each class, to initialize MediQ-GAN.",
    "hardware": "Run circuits on an IBM device: cost, submit, status, collect, cancel.",
    "circuit": "Draw circuits; print and compare the reference circuits.",
}


class LazyGroup(click.Group):
    """A group whose commands are ``qgan_qiskit.cli.<prefix><name>:command``, imported on use.

    Attributes:
        lines: command -> its line in the overview.
        prefix: of the modules' names.
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
