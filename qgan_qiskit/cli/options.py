"""Lines for a person, on standard error: standard output is for what a program may read.

Command-line options made from the fields of the configuration: help, type, range and default are written there once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from qgan_qiskit.config import MODELS, DataConfig, EvaluationConfig, RunConfig, Settings, TrainingConfig
from qgan_qiskit.config.base import first_problem
from qgan_qiskit.errors import UsageError

# The sections of a configuration and the classes whose fields they hold, in the order of the help.
SECTIONS: dict[str, tuple[type[Settings], ...]] = {
    "data": (DataConfig,),
    "model": tuple(MODELS.values()),
    "training": (TrainingConfig,),
    "evaluation": (EvaluationConfig,),
}
_NAMES = {"path": "data", "class_name": "class"}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _fields(sections: Iterable[str]) -> Iterator[tuple[str, str, FieldInfo, str]]:
    """Yield (section, field name, field, models that have it) for every setting that is an option."""
    for section in sections:
        classes = SECTIONS[section]
        seen = set()
        for settings in classes:
            for name, field in settings.model_fields.items():
                if name not in seen and (section != "model" or name != "name"):
                    seen.add(name)
                    users = [
                        one.model_fields["name"].default
                        for one in classes
                        if name in one.model_fields and len(classes) > 1
                    ]
                    yield section, name, field, ", ".join(users)


def option_name(field: str) -> str:
    """Return the option of a field, such as ``--batch-size``."""
    return "--" + _NAMES.get(field, field).replace("_", "-")


def config_options(
    *sections: str, exclude: Iterable[str] = (), default: str | None = None, shown: RunConfig | None = None
) -> Decorator:
    """Add one option per setting of some sections; values arrive as ``section__field`` keyword arguments, None if not given.

    Args:
        sections: of the configuration.
        exclude: fields that get no option.
        default: what the help says in place of each setting's own default.
        shown: whose values the help shows as defaults, for settings that its model has; None for each setting's own default.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for section, name, field, users in reversed(list(_fields(sections))):
            if name not in exclude:
                own = getattr(getattr(shown, section, None), name, field.default)
                function = _option(section, name, field, users, default, own)(function)
        return function

    return decorate


def settings_options(section: str, settings: type[Settings], exclude: Iterable[str] = ()) -> Decorator:
    """Add one option per setting of a class that is no section of a run's configuration, such as a study's."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(settings.model_fields.items()):
            if name not in exclude:
                function = _option(section, name, field, "", None, field.default)(function)
        return function

    return decorate


def _option(section: str, name: str, field: FieldInfo, users: str, instead: str | None, default: Any) -> Decorator:
    flag = option_name(name)
    text = field.description or ""
    if instead is not None:
        text = f"{text.partition(' [default')[0]} [default: {instead}]"
    if users and users != ", ".join(MODELS):
        text += f" ({users} only)"
    if "[default" not in text:
        shown = (
            "on"
            if default is True
            else "off"
            if default is False
            else "none"
            if default is None
            else f"{default:g}"
            if isinstance(default, float)
            else "none"
            if default == ()
            else default
        )
        text += f" [default: {shown}]"
    kind = _plain_type(field)
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", f"{section}__{name}", default=None, help=text)
    if get_origin(kind) is tuple:
        # Given again and again, one value at a time.
        return click.option(flag, f"{section}__{name}", multiple=True, help=text)
    return click.option(flag, f"{section}__{name}", type=_click_type(kind, field), default=None, help=text)


def _plain_type(field: FieldInfo) -> Any:
    """Return the type of a field without ``| None``."""
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        return next(member for member in get_args(kind) if member is not type(None))
    return kind


def _click_type(kind: Any, field: FieldInfo) -> click.ParamType | None:
    if get_origin(kind) is Literal:
        return click.Choice([str(value) for value in get_args(kind)])
    limits = {
        e: getattr(m, e) for m in field.metadata for e in ("ge", "le", "gt", "lt") if getattr(m, e, None) is not None
    }
    if kind in (int, float):
        ranged = click.IntRange if kind is int else click.FloatRange
        return ranged(
            min=limits.get("ge", limits.get("gt")),
            max=limits.get("le", limits.get("lt")),
            min_open="gt" in limits,
            max_open="lt" in limits,
        )
    return click.STRING


def given(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options that were given, as ``{section: {field: value}}``."""
    changes: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if value is not None and value != ():
            section, _, name = key.partition("__")
            changes.setdefault(section, {})[name] = value
    return changes


def apply(config: RunConfig, changes: dict[str, dict[str, Any]], source: str) -> RunConfig:
    """Return a configuration with changes from the command line or a file, checked.

    Args:
        config: what the changes are made to.
        changes: ``{section: {field: value}}``.
        source: what the changes come from, for messages: a file name, or ``""`` for options.

    Raises:
        UsageError: a name is unknown, or a value is out of range or does not fit the others.
    """
    prefix = f"{source}: " if source else ""
    for section, fields in changes.items():
        known = set(getattr(config, section).__class__.model_fields) if section in SECTIONS else set()
        if not known or not isinstance(fields, dict):
            raise UsageError(f"{prefix}'{section}' is not a section of settings; there are {', '.join(SECTIONS)}")
        for name in fields:
            if name not in known:
                shown = name if source else option_name(name)
                raise UsageError(f"{prefix}{shown} is not a setting of {section} of {config.model.name}")
    try:
        return config.updated(changes)
    except ValidationError as error:
        raise UsageError(prefix + problem_line(error, options=not source)) from None


def problem_line(error: ValidationError, *, options: bool) -> str:
    """Return one line for a validation error: which setting, what is wrong, what was given."""
    problem = first_problem(error)
    place = [part for part in problem.place if part not in MODELS]
    # What breaks a rule between settings of a section is the whole section, which nobody wants to read.
    if not place or isinstance(problem.given, dict | BaseModel):
        return problem.message
    shown = option_name(place[-1]) if options else ".".join(place)
    return f"{shown}: {problem.message}, not {problem.given!r}"
