"""Command-line options made from the fields of the settings, which hold help, type, range and default once."""

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

# Sections of a run's configuration, in the order of the help, and the classes whose fields they hold.
SECTIONS: dict[str, tuple[type[Settings], ...]] = {
    "data": (DataConfig,),
    "model": tuple(MODELS.values()),
    "training": (TrainingConfig,),
    "evaluation": (EvaluationConfig,),
}
_OPTION_NAMES = {"path": "data", "class_name": "class"}
_DEFAULT_TEXTS: dict[Any, str] = {True: "on", False: "off", None: "none", (): "none"}

Changes = dict[str, dict[str, Any]]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_name(field: str) -> str:
    """Return the option of a field, such as ``--batch-size``."""
    return "--" + _OPTION_NAMES.get(field, field).replace("_", "-")


def config_options(
    *sections: str, exclude: Iterable[str] = (), default: str | None = None, shown: RunConfig | None = None
) -> Decorator:
    """Add an option per setting of some sections; values arrive as ``section__field`` keyword arguments, None if not given.

    Args:
        sections: of a run's configuration.
        exclude: fields without an option.
        default: text that the help shows instead of each setting's default.
        shown: whose values the help shows as defaults, for settings that its model has; None for the settings' own.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for section, name, field, users in reversed(list(_iterate_fields(sections))):
            if name not in exclude:
                value = getattr(getattr(shown, section, None), name, field.default)
                function = _make_option(section, name, field, users, default, value)(function)
        return function

    return decorate


def settings_options(section: str, settings: type[Settings], exclude: Iterable[str] = ()) -> Decorator:
    """Add an option per setting of a class outside a run's configuration, such as a study's."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(settings.model_fields.items()):
            if name not in exclude:
                function = _make_option(section, name, field, "", None, field.default)(function)
        return function

    return decorate


def collect_changes(values: dict[str, Any]) -> Changes:
    """Return the options that were given, as ``{section: {field: value}}``."""
    changes: Changes = {}
    for key, value in values.items():
        if value is not None and value != ():
            section, _, name = key.partition("__")
            changes.setdefault(section, {})[name] = value
    return changes


def apply(config: RunConfig, changes: Changes, source: str) -> RunConfig:
    """Return a configuration with changes from the command line or a file, checked.

    Args:
        config: to change.
        changes: ``{section: {field: value}}``.
        source: file of the changes, for messages; ``""`` for options.

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
        raise UsageError(prefix + describe_problem(error, options=not source)) from None


def describe_problem(error: ValidationError, *, options: bool) -> str:
    """Return one line for a validation error: which setting (or option), what is wrong, what was given."""
    problem = first_problem(error)
    place = [part for part in problem.place if part not in MODELS]
    # A rule between settings is broken by a whole section, whose content would fill the screen.
    if not place or isinstance(problem.given, dict | BaseModel):
        return problem.message
    shown = option_name(place[-1]) if options else ".".join(place)
    return f"{shown}: {problem.message}, not {problem.given!r}"


def _iterate_fields(sections: Iterable[str]) -> Iterator[tuple[str, str, FieldInfo, str]]:
    """Yield (section, field name, field, models that have it) for every setting with an option."""
    for section in sections:
        classes = SECTIONS[section]
        seen = set()
        for settings in classes:
            for name, field in settings.model_fields.items():
                if name not in seen and (section != "model" or name != "name"):
                    seen.add(name)
                    several = classes if len(classes) > 1 else ()
                    users = [one.model_fields["name"].default for one in several if name in one.model_fields]
                    yield section, name, field, ", ".join(users)


def _make_option(
    section: str, name: str, field: FieldInfo, users: str, default_text: str | None, default: Any
) -> Decorator:
    flag, parameter = option_name(name), f"{section}__{name}"
    kind = _strip_none(field.annotation)
    text = _help_text(field.description or "", users, default_text, default)
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", parameter, default=None, help=text)
    if get_origin(kind) is tuple:
        # Repeated, one value at a time.
        return click.option(flag, parameter, multiple=True, help=text)
    return click.option(flag, parameter, type=_click_type(kind, field), default=None, help=text)


def _help_text(description: str, users: str, default_text: str | None, default: Any) -> str:
    if default_text is not None:
        description = f"{description.partition(' [default')[0]} [default: {default_text}]"
    if users and users != ", ".join(MODELS):
        description += f" ({users} only)"
    if "[default" in description:
        return description
    if default is None or isinstance(default, bool) or default == ():
        shown = _DEFAULT_TEXTS[default]
    else:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    return f"{description} [default: {shown}]"


def _strip_none(annotation: Any) -> Any:
    """Return a type without ``| None``."""
    if get_origin(annotation) in (Union, UnionType):
        return next(member for member in get_args(annotation) if member is not type(None))
    return annotation


def _click_type(kind: Any, field: FieldInfo) -> click.ParamType:
    if get_origin(kind) is Literal:
        return click.Choice([str(value) for value in get_args(kind)])
    if kind not in (int, float):
        return click.STRING
    limits = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("ge", "le", "gt", "lt")
        if getattr(limit, name, None) is not None
    }
    ranged = click.IntRange if kind is int else click.FloatRange
    return ranged(
        min=limits.get("ge", limits.get("gt")),
        max=limits.get("le", limits.get("lt")),
        min_open="gt" in limits,
        max_open="lt" in limits,
    )
