"""``circuit``: draw a circuit, and write or compare the reference circuits. Qiskit is imported only when a command runs."""

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

_MODELS = {config.model_fields["name"].default: config for config in (HybridQConfig, MosaiqConfig, QgpatchConfig)}
_BUILDER_OPTIONS = ("num_qubits", "reps", "encoding", "entangler", "readout", "num_ancillas")


def _option_from_config(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option of a configuration field with its help, choices and defaults; None where it is not given.

    The range is the widest of all models; each model checks its own.
    """
    fields = {model: config.model_fields[name] for model, config in _MODELS.items() if name in config.model_fields}
    field = next(iter(fields.values()))
    if field.annotation == str | None:
        text, _, default = str(field.description).partition(" [default: ")
        return click.option(option_name(name), name, metavar="PATTERN", show_default=default.rstrip("]"), help=text)
    kind: click.ParamType
    if field.annotation is int:
        limits = [limit for each in fields.values() for limit in each.metadata]
        kind = click.IntRange(
            min(limit.ge for limit in limits if hasattr(limit, "ge")),
            max(limit.le for limit in limits if hasattr(limit, "le")),
        )
    else:
        kind = click.Choice(get_args(field.annotation))
    defaults = ", ".join(f"{model} {each.default}" for model, each in fields.items())
    return click.option(option_name(name), name, type=kind, default=None, show_default=defaults, help=field.description)


class _ReferenceName(click.ParamType):
    """The name of a reference circuit, checked when it is built."""

    name = "reference circuit"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from qgan_qiskit.circuits.reference import REFERENCE_CIRCUITS

        return f"[{'|'.join(REFERENCE_CIRCUITS)}]"


@click.group()
def command() -> None:
    """Draw circuits; write and compare the reference circuits."""


@command.command()
@click.option(
    "--model",
    type=click.Choice(list(_MODELS)),
    default="hybridq",
    show_default=True,
    help="Whose sub-generator circuit to build.",
)
@_option_from_config("num_qubits")
@_option_from_config("reps")
@_option_from_config("encoding")
@_option_from_config("entangler")
@_option_from_config("readout")
@_option_from_config("num_ancillas")
@click.option("--ansatz", metavar="FILE", show_default="none", help="Draw the circuit of this OpenQASM 3 file instead.")
@_option_from_config("input_names")
@_option_from_config("weight_names")
@click.option("--reference", type=_ReferenceName(), show_default="none", help="Draw this reference circuit instead.")
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
    help="Line length in columns of text (at least 20) or layers of a picture (at least 1); -1 never breaks lines.",
)
@click.pass_context
def draw(
    ctx: click.Context,
    model: str,
    ansatz: str | None,
    input_names: str | None,
    weight_names: str | None,
    reference: str | None,
    style: str,
    output: str | None,
    fold: int | None,
    **builder_options: Any,
) -> None:
    """Draw a circuit: built from options, read from a file, or a reference circuit."""
    _reject_ignored_options(ctx)
    if ansatz is None and (input_names is not None or weight_names is not None):
        raise UsageError("--input-names and --weight-names name parameters of a file: give --ansatz too")
    config = _build_config(model, {name: value for name, value in builder_options.items() if value is not None})
    from qgan_qiskit import circuits
    from qgan_qiskit.circuits.reference import build_reference

    circuit: CircuitSpec | QuantumCircuit
    if ansatz is not None:
        circuit = _read_file(ansatz, circuits.ParameterNames(input_names, weight_names))
    elif reference is not None:
        circuit = build_reference(reference)
    else:
        circuit = circuits.build_circuit_spec(config)
    drawing = circuits.draw(circuit, style, output=output, fold=fold)
    click.echo(f"wrote {output}" if drawing is None else drawing)


@command.command()
@click.argument("folder", default="circuits")
def export(folder: str) -> None:
    """Write the reference circuits into FOLDER [default: circuits]."""
    from qgan_qiskit.circuits.reference import REFERENCE_CIRCUITS, export_references

    export_references(folder)
    click.echo(f"wrote {len(REFERENCE_CIRCUITS)} reference circuits to {folder}")


@command.command()
@click.argument("folder", default="circuits")
@click.pass_context
def check(ctx: click.Context, folder: str) -> None:
    """Compare FOLDER [default: circuits] with what the builders give; exit status 1 if a file differs."""
    from qgan_qiskit.circuits.reference import REFERENCE_CIRCUITS, compare_references

    differences = compare_references(folder)
    for difference in differences:
        click.echo(difference)
    if differences:
        ctx.exit(1)
    click.echo(f"{len(REFERENCE_CIRCUITS)} reference circuits match")


def _read_file(path: str, names: ParameterNames) -> CircuitSpec | QuantumCircuit:
    """Read the circuit of a file; notes say why one cannot be trained."""
    from qgan_qiskit.circuits import exporter_note, read_circuit, read_circuit_spec

    circuit, parameters = read_circuit(path)
    if not parameters:
        if names:
            raise UsageError("--input-names and --weight-names name parameters, but the circuit has none: remove them")
        reason = "OpenQASM 2 has no free parameters" if parameters is None else "it has no free parameters"
        click.echo(f"note: {path} can be drawn but not trained: {reason}", err=True)
        return circuit
    spec = read_circuit_spec(path, names=names)
    if note := exporter_note(path):
        click.echo(f"note: {note}", err=True)
    if not spec.num_inputs:
        click.echo(f"note: {path} can be drawn but not generate images: it has no inputs", err=True)
    if names:
        for role, ordered in (("inputs", spec.input_parameters), ("weights", spec.weight_parameters)):
            click.echo(f"{role} in order: {', '.join(parameter.name for parameter in ordered) or 'none'}", err=True)
    return spec


def _build_config(model: str, settings: dict[str, Any]) -> HybridQConfig | MosaiqConfig | QgpatchConfig:
    for name in settings:
        if name not in _MODELS[model].model_fields:
            raise UsageError(f"{option_name(name)} is not a setting of {model}: remove it")
    try:
        return _MODELS[model](**settings)
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None


def _reject_ignored_options(ctx: click.Context) -> None:
    given = [
        option_name(name)
        for name in ("ansatz", "reference", "model", *_BUILDER_OPTIONS)
        if ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    ]
    if len(given) > 1 and given[0] in ("--ansatz", "--reference"):
        raise UsageError(f"{given[0]} cannot be used with {', '.join(given[1:])}; give only one source of the circuit")
