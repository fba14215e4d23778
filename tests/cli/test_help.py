"""Help: every option with its default, no heavy imports, and a list of all options that changes only on purpose."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from qgan_qiskit.cli import cli

LIST = Path(__file__).with_name("options.txt")


def commands(group=cli, prefix=""):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def test_all_options_are_those_of_the_list():
    """A new, renamed or removed option is a promise to users: change options.txt with it."""
    found = [
        f"{name} {' '.join([*parameter.opts, *parameter.secondary_opts])}"
        for name, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]
    assert sorted(found) == LIST.read_text().splitlines()


def test_every_option_says_its_default(main):
    for name, command in commands():
        status, text, err = main(*name.split(), "--help")
        assert (status, err) == (0, "")
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert " ".join(text.split()).count("[default: ") >= len(options), name
        for parameter in options:
            record = parameter.get_help_record(click.Context(command, info_name=name))
            assert record is not None
            assert "[default: " in record[1], f"{name} {record[0]}"
            assert len(record[1]) > len("[default: none]") + 5, f"{name} {record[0]} is not explained"


def test_ranges_are_shown(main):
    _, text, _ = main("fit", "--help")
    shown = " ".join(text.split())
    assert "x>=2]" in shown or "2<=x<=4096" in shown
    for choice in ("[bce|hinge|wgan-gp]", "[image|latent|fusion]", "[hybridq|dcgan|mosaiq|mediq|transfer|qgpatch]"):
        assert choice in shown


def heavy_after(program):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{program}\nprint(sorted({{'torch', 'qiskit', 'numpy', 'scipy', 'PIL'}} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


RUN = """
import sys
from qgan_qiskit.cli.__main__ import main
sys.argv = ["x", *{arguments!r}]
try:
    main()
except SystemExit as ended:
    print(ended.code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["fit", "--help"],
        ["generate", "--help"],
        ["--version"],
        ["fit", "-n"],
        ["fit", "--lr-quantum", "-1"],
        ["fit", "--loss", "hinge", "--latent-range", "adaptive"],
        ["generate", "nowhere", "--seeds", "5-1"],
    ],
    ids=" ".join,
)
def test_neither_help_nor_a_refused_option_waits_for_torch(arguments):
    assert heavy_after(RUN.format(arguments=arguments)) == "[]"


def test_overview_names_every_command_and_no_arguments_show_it(main):
    for arguments, expected in (((), 2), (("--help",), 0), (("-h",), 0)):
        status, out, err = main(*arguments)
        assert status == expected
        assert all(name in out + err for name in ("fit", "generate", "circuit"))
