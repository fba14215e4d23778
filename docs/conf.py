"""Sphinx configuration: MyST Markdown, executed notebooks, tables made from the code. Warnings are errors."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "qgan_qiskit"
author = "The qgan_qiskit developers"
copyright = author
version = release = version_of("qgan_qiskit")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "code_tables"]
# Tables that result pages include.
tables = ["results/*/table.md"]
exclude_patterns = ["_ext", "build", "_build", "jupyter_execute", ".jupyter_cache", *tables]

# Or "--outdir" in a help text would become a dash.
smartquotes = False

html_theme = "furo"
html_title = f"qgan_qiskit {release}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Tutorials run from an empty folder, with the examples at hand and a cache of their own; a cell that fails fails the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
_work = tempfile.TemporaryDirectory(prefix="qgan_qiskit_docs_")
os.environ["XDG_CACHE_HOME"] = _work.name
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(HERE.parent / "examples"), *filter(None, [os.environ.get("PYTHONPATH")])]
)
# Lines of a drawing must not depend on the terminal that the build was started from.
os.environ["COLUMNS"] = "110"
