"""The command line: one file per command, each loaded only when it is used.

Keep this file and every command's imports light: ``--help`` must not wait for torch or Qiskit.
"""

from __future__ import annotations

import importlib

import click

# Command -> its line in the overview, so that the overview imports no command.
_COMMANDS = {
    "fit": "Train a GAN on images, or go on with a run.",
    "generate": "Make images from a run or checkpoint.",
    "circuit": "Draw circuits; print and compare the reference circuits.",
}


class LazyGroup(click.Group):
    """A group whose commands live in ``qgan_qiskit.cli.<name>:command`` and are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"qgan_qiskit.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="qgan_qiskit")
def cli() -> None:
    """Hybrid quantum-classical GANs for colour medical images, on Qiskit and PyTorch."""
