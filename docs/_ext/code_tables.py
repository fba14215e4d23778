"""Sphinx directives that print tables from the code itself, so that the reference cannot fall behind it.

- ``cli-options``: the options of a command (argument: ``fit``, ``generate``, ``circuit draw``, …), read from click;
- ``preset-settings``: what each preset changes, read from ``qgan_qiskit.config.PRESETS``;
- ``exit-codes``: the exit status of each kind of error, read from ``qgan_qiskit.errors``;
- ``result-pages``: the pages ``*/README`` below the present one, if there are any.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from typing import Any

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.directives.other import TocTree
from sphinx.util.docutils import SphinxDirective

from qgan_qiskit.cli import cli
from qgan_qiskit.cli.options import SECTIONS
from qgan_qiskit.config import PRESETS, RunConfig
from qgan_qiskit.errors import QganError

_DEFAULT = re.compile(r"\s*\[default: (?P<default>.*)\]\s*$")
Cell = str | list[nodes.Node]


def _literals(texts: Iterable[str]) -> list[nodes.Node]:
    cell: list[nodes.Node] = []
    for text in texts:
        cell += [nodes.Text(", ")] * bool(cell) + [nodes.literal(text, text)]
    return cell


def _table(headers: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[Cell]]) -> nodes.table:
    group = nodes.tgroup(cols=len(headers))
    group += [nodes.colspec(colwidth=width) for width in widths]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(headers)
    body += [_row(row) for row in rows]
    group += [head, body]
    return nodes.table("", group, classes=["colwidths-given"])


def _row(cells: Sequence[Cell]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        content = [nodes.Text(cell)] if isinstance(cell, str) else cell
        row += nodes.entry("", nodes.paragraph("", "", *content))
    return row


class CliOptions(SphinxDirective):
    """The options of one command, in one table per section of the settings."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the command's own text, its usage line and its tables."""
        command: click.Command = cli
        context = click.Context(cli, info_name="python -m qgan_qiskit.cli")
        for name in self.arguments[0].split():
            found = command.get_command(context, name) if isinstance(command, click.Group) else None
            if found is None:
                raise self.error(f"there is no command '{self.arguments[0]}'")
            command, context = found, click.Context(found, info_name=name, parent=context)
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        result: list[nodes.Node] = [nodes.literal_block(usage, usage, language="console")]
        result += [nodes.paragraph("", " ".join(text.split())) for text in (command.help or "").split("\n\n")]
        for section, rows in _grouped(command, context):
            if section:
                text = [nodes.Text("Section "), nodes.literal(section, section), nodes.Text(" of the settings:")]
                result.append(nodes.paragraph("", "", *text))
            result.append(_table(("option", "values", "default", "what it does"), (24, 20, 14, 42), rows))
        return result


def _grouped(command: click.Command, context: click.Context) -> Iterator[tuple[str, list[list[Cell]]]]:
    groups: dict[str, list[list[Cell]]] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            section, _, _ = (parameter.name or "").rpartition("__")
            groups.setdefault(section, []).append(_option_row(parameter, context))
    yield from groups.items()


def _option_row(option: click.Option, context: click.Context) -> list[Cell]:
    text = option.help or ""
    match = _DEFAULT.search(text)
    if match:
        default, text = match["default"], text[: match.start()]
    elif isinstance(option.show_default, str):
        default = option.show_default
    else:
        value = option.get_default(context)
        default = "none" if value is None else "off" if value is False else str(value)
    names = _literals([*option.opts, *option.secondary_opts])
    return [names, _values(option, context), default, _with_options_marked(text)]


def _with_options_marked(text: str) -> list[nodes.Node]:
    """Set names of options, and names with an underscore, as code."""
    parts = re.split(r"(--[a-z][a-z-]*|\b[a-z]+_[a-z_]+\b)", text)
    return [nodes.literal(part, part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts)]


def _values(option: click.Option, context: click.Context) -> Cell:
    kind = option.type
    if option.is_flag:
        return "a switch"
    if isinstance(kind, click.Choice):
        return _literals(map(str, kind.choices))
    if isinstance(kind, click.IntRange | click.FloatRange):
        number = "whole number" if isinstance(kind, click.IntRange) else "number"
        return f"{number} {_range(kind)}{_multiple(option.name or '')}"
    return option.make_metavar(context).lower().strip("[]").replace("|", ", ")


def _range(kind: click.IntRange | click.FloatRange) -> str:
    low = f"{'above' if kind.min_open else 'from'} {kind.min}" if kind.min is not None else ""
    high = f"{'below' if kind.max_open else 'to'} {kind.max}" if kind.max is not None else ""
    return " ".join(filter(None, [low, high]))


def _multiple(name: str) -> str:
    """Return the step of a setting, which click's ranges cannot say."""
    section, _, field = name.rpartition("__")
    for model in SECTIONS.get(section, ()):
        for limit in model.model_fields[field].metadata if field in model.model_fields else ():
            if getattr(limit, "multiple_of", None):
                return f", a multiple of {limit.multiple_of}"
    return ""


class PresetSettings(SphinxDirective):
    """What each preset of each model changes, compared with the defaults of the settings."""

    def run(self) -> list[nodes.Node]:
        """Return one table."""
        rows: list[list[Cell]] = []
        for model, presets in PRESETS.items():
            for name, make in presets.items():
                changed = list(_changes(make()))
                summary = " ".join((make.__doc__ or "").partition("\n\n")[0].split()).removeprefix("Return ")
                rows.append([_literals([model]), _literals([name]), summary, _literals(changed) if changed else "none"])
        return [_table(("model", "preset", "what it is", "settings that differ"), (12, 12, 36, 40), rows)]


def _changes(config: RunConfig) -> Iterator[str]:
    for section in SECTIONS:
        settings = getattr(config, section)
        for field, value in settings.model_dump().items():
            if value != type(settings).model_fields[field].default:
                yield f"{section}.{field} = {value}"


class ExitCodes(SphinxDirective):
    """The exit status of every kind of error."""

    def run(self) -> list[nodes.Node]:
        """Return one table."""
        rows = [
            [_literals([str(kind.exit_code)]), _literals([kind.__name__]), _summary(kind)] for kind in _kinds(QganError)
        ]
        return [_table(("status", "error", "meaning"), (10, 24, 66), rows)]


def _kinds(base: type[QganError]) -> Iterator[type[QganError]]:
    # Only the errors' own room: other rooms' subclasses are there or not, depending on what was imported before.
    for kind in base.__subclasses__():
        if kind.__module__ == QganError.__module__:
            yield kind
            yield from _kinds(kind)


def _summary(kind: type[QganError]) -> str:
    text = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return re.sub(r" \(exit status \d+\)", "", text)


class ResultPages(TocTree):
    """A table of contents of ``*/README``; an ordinary one would warn while there is none."""

    def run(self) -> list[nodes.Node]:
        """Return the table of contents, or a sentence."""
        pattern = f"{posixpath.dirname(self.env.docname)}/*/README"
        if not any(fnmatch(name, pattern) for name in self.env.found_docs):
            return [nodes.paragraph("", "There is none yet.")]
        self.options |= {"glob": True, "maxdepth": 1}
        self.content = StringList(["*/README"], source=self.env.docname)
        return super().run()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("cli-options", CliOptions)
    app.add_directive("preset-settings", PresetSettings)
    app.add_directive("exit-codes", ExitCodes)
    app.add_directive("result-pages", ResultPages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
