"""``circuit``: draw a circuit, and print or compare the cabinet of reference circuits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource
from pydantic import ValidationError

from qgan_qiskit.cli.options import describe_problem, option_name
from qgan_qiskit.config import HybridQConfig, MosaiqConfig, QgpatchConfig
from qgan_qiskit.errors import UsageError

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit

    from qgan_qiskit.circuits import CircuitSpec, ParameterNames

_MODELS = {settings.model_fields["name"].default: settings for settings in (HybridQConfig, MosaiqConfig, QgpatchConfig)}
# The settings of these models that shape the circuit.
_SHAPE = ("num_qubits", "reps", "encoding", "entangler", "readout", "num_ancillas")


def _from_config(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option of a field of the models' configurations, with its help and choices; None where not given.

    Where the models' ranges differ the option has the widest, and the model checks its own.
    """
    fields = {
        model: settings.model_fields[name] for model, settings in _MODELS.items() if name in settings.model_fields
    }
    field = next(iter(fields.values()))
    kind: click.ParamType
    if field.annotation is int:
        limits = [limit for one in fields.values() for limit in one.metadata]
        kind = click.IntRange(
            min(limit.ge for limit in limits if hasattr(limit, "ge")),
            max(limit.le for limit in limits if hasattr(limit, "le")),
        )
    elif field.annotation == str | None:
        text, _, shown = str(field.description).partition(" [default: ")
        return click.option(option_name(name), name, metavar="PATTERN", show_default=shown.rstrip("]"), help=text)
    else:
        kind = click.Choice(get_args(field.annotation))
    defaults = ", ".join(f"{model} {one.default}" for model, one in fields.items())
    return click.option(option_name(name), name, type=kind, default=None, show_default=defaults, help=field.description)


class _DrawerName(click.ParamType):
    """The name of a reference circuit; Qiskit is imported only once the names are needed."""

    name = "drawer"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from qgan_qiskit.circuits.reference import REFERENCE_CIRCUITS

        return f"[{'|'.join(REFERENCE_CIRCUITS)}]"


@click.group()
def command() -> None:
    """Draw circuits; print and compare the reference circuits."""


@command.command()
@click.option(
    "--model",
    type=click.Choice(list(_MODELS)),
    default="hybridq",
    show_default=True,
    help="Whose sub-generator circuit to build.",
)
@_from_config("num_qubits")
@_from_config("reps")
@_from_config("encoding")
@_from_config("entangler")
@_from_config("readout")
@_from_config("num_ancillas")
@click.option(
    "--ansatz",
    metavar="FILE",
    show_default="none",
    help="OpenQASM 3 file of your own circuit, instead of building one.",
)
@_from_config("input_names")
@_from_config("weight_names")
@click.option("--drawer", type=_DrawerName(), show_default="none", help="Reference circuit, instead of building one.")
@click.option(
    "--style",
    type=click.Choice(("text", "mpl", "latex")),
    default="text",
    show_default=True,
    help="Box drawing, a picture by matplotlib, or LaTeX source.",
)
@click.option(
    "--output",
    metavar="FILE",
    show_default="standard output",
    help="File to write; a picture needs one ending in .png, .svg or .pdf.",
)
@click.option(
    "--fold",
    type=click.IntRange(min=-1),
    show_default="width of the terminal, or 25 layers",
    help="Break lines after so many columns of text (from 20) or layers of a picture (from 1); -1 never breaks.",
)
@click.pass_context
def draw(
    ctx: click.Context,
    model: str,
    ansatz: str | None,
    input_names: str | None,
    weight_names: str | None,
    drawer: str | None,
    style: str,
    output: str | None,
    fold: int | None,
    **builder_options: Any,
) -> None:
    """Draw a circuit: built from options, read from a file, or a reference circuit."""
    _refuse_two_sources(ctx)
    if ansatz is None and (input_names is not None or weight_names is not None):
        raise UsageError("--input-names and --weight-names name parameters of a file: give --ansatz too")
    config = _settings(model, {name: value for name, value in builder_options.items() if value is not None})
    from qgan_qiskit.circuits import ParameterNames, build_circuit_spec
    from qgan_qiskit.circuits import draw as draw_ansatz
    from qgan_qiskit.circuits import reference as cabinet

    circuit: CircuitSpec | QuantumCircuit
    if ansatz is not None:
        circuit = _of_file(ansatz, ParameterNames(input_names, weight_names))
    elif drawer is not None:
        circuit = cabinet.drawer(drawer)
    else:
        circuit = build_circuit_spec(config)
    drawing = draw_ansatz(circuit, style, output=output, fold=fold)
    click.echo(f"wrote {output}" if drawing is None else drawing)


@command.command()
@click.argument("folder", default="circuits")
def export(folder: str) -> None:
    """Write the reference circuits into FOLDER [default: circuits]."""
    from qgan_qiskit.circuits import reference as cabinet

    cabinet.export(folder)
    click.echo(f"wrote {len(cabinet.REFERENCE_CIRCUITS)} drawers to {folder}")


@command.command()
@click.argument("folder", default="circuits")
@click.pass_context
def check(ctx: click.Context, folder: str) -> None:
    """Compare FOLDER [default: circuits] with what the builders give; exit status 1 if a file differs."""
    from qgan_qiskit.circuits import reference as cabinet

    differences = cabinet.check(folder)
    for difference in differences:
        click.echo(difference)
    if differences:
        ctx.exit(1)
    click.echo(f"{len(cabinet.REFERENCE_CIRCUITS)} drawers match")


def _of_file(path: str, names: ParameterNames) -> CircuitSpec | QuantumCircuit:
    """Return the circuit of a file; one that can be drawn but not trained comes with a note."""
    from qgan_qiskit.circuits import exporter_note, read_circuit, read_circuit_spec

    circuit, declared = read_circuit(path)
    if not declared:
        if names:
            raise UsageError(
                "--input-names and --weight-names name parameters, and the circuit has none: leave them out"
            )
        why = "OpenQASM 2 has no free parameters" if declared is None else "it has no free parameters"
        click.echo(f"note: {path} can be drawn but not trained: {why}", err=True)
        return circuit
    ansatz = read_circuit_spec(path, names=names)
    if note := exporter_note(path):
        click.echo(f"note: {note}", err=True)
    if not ansatz.num_inputs:
        click.echo(f"note: {path} can be drawn but not generate images: it has no inputs", err=True)
    if names:
        for what, parameters in (("inputs", ansatz.input_parameters), ("weights", ansatz.weight_parameters)):
            click.echo(f"{what} in order: {', '.join(parameter.name for parameter in parameters) or 'none'}", err=True)
    return ansatz


def _settings(model: str, given: dict[str, Any]) -> HybridQConfig | MosaiqConfig | QgpatchConfig:
    """Return the settings of a model with some changed.

    Raises:
        UsageError: the model has no such setting, or its value is out of range.
    """
    for name in given:
        if name not in _MODELS[model].model_fields:
            raise UsageError(f"{option_name(name)} is not a setting of {model}: leave it out")
    try:
        return _MODELS[model](**given)
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None


def _refuse_two_sources(ctx: click.Context) -> None:
    """Refuse options that would be silently ignored: the circuit comes from one place."""
    given = [
        option_name(name)
        for name in ("ansatz", "drawer", "model", *_SHAPE)
        if ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    ]
    if len(given) > 1 and given[0] in ("--ansatz", "--drawer"):
        raise UsageError(f"{given[0]} cannot be used with {', '.join(given[1:])}; the circuit comes from one of them")
