"""What the package imports is what it declares, and nothing that only one system has is imported without a guard."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "qgan_qiskit"
# Modules of the standard library that Windows does not have.
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}


def imports():
    """Yield (file, line, top-level module, whole module) of every import, in functions, too."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [str(node.module)]
            else:
                continue
            for module in modules:
                yield path.relative_to(ROOT), node.lineno, module.partition(".")[0], module


def declared():
    """Return the names of all distributions that pyproject.toml asks for at run time, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = project["dependencies"] + [line for name in USED_EXTRAS for line in extras[name]]
    return {normal(re.match(r"[A-Za-z0-9_.-]+", line).group()): line for line in asked}


USED_EXTRAS = ("draw", "hardware", "metrics", "tensorboard", "distributed", "cluster")


def normal(name):
    return re.sub(r"[-_.]+", "-", name).casefold()


def test_every_import_is_declared():
    known, providers = declared(), importlib.metadata.packages_distributions()
    missing = [
        f"{path}:{line}: {module}"
        for path, line, top, module in imports()
        if top not in (*sys.stdlib_module_names, "qgan_qiskit")
        and not known.keys() & {normal(name) for name in providers.get(top, [])}
    ]
    assert missing == []


def test_the_installed_versions_are_those_declared():
    """The lower bounds are not above what these tests run with, nor are the upper ones below."""
    from packaging.requirements import Requirement

    for line in declared().values():
        requirement = Requirement(line)
        assert requirement.specifier.contains(importlib.metadata.version(requirement.name)), line


def test_no_module_of_one_system_alone_is_imported():
    """Without a way out where it is missing, that is."""
    found = {f"{path}:{line}: {top}" for path, line, top, _ in imports() if top in POSIX_ONLY}
    assert found - set(guarded_imports()) == set()


def guarded_imports():
    """Yield imports that ``except ImportError`` follows, as the test above writes them."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            caught = [ast.unparse(handler.type) for handler in getattr(node, "handlers", ()) if handler.type]
            if isinstance(node, ast.Try) and "ImportError" in caught:
                for line in node.body:
                    if isinstance(line, ast.Import):
                        yield from (f"{path.relative_to(ROOT)}:{line.lineno}: {alias.name}" for alias in line.names)


def test_nothing_private_of_ibms_client_is_imported():
    """Its pages of reference document these modules; everything else may change with any release."""
    documented = {
        "qiskit_ibm_runtime",
        "qiskit_ibm_runtime.accounts",
        "qiskit_ibm_runtime.exceptions",
        "qiskit_ibm_runtime.executor_estimator",
        "qiskit_ibm_runtime.fake_provider",
        "qiskit_ibm_runtime.noise_learner_v3",
        "qiskit_ibm_runtime.options",
        "qiskit_ibm_runtime.options_models",
    }
    found = {module for _, _, top, module in imports() if top == "qiskit_ibm_runtime"}
    assert found <= documented
    assert "<" in declared()["qiskit-ibm-runtime"]
