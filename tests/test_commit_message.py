"""The hook that holds commit messages to what CONTRIBUTING asks."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / ".ci" / "check_commit_message.py"
SPEC = importlib.util.spec_from_file_location("check_commit_message", FILE)
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)


@pytest.mark.parametrize("message", ["Read ISIC 2020\n\nIts table differs.\n", "Merge branch 'x'\n"])
def test_a_good_message(message):
    assert MODULE.problems(message) == []


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("", "empty"),
        ("Read ISIC 2020\n", "body"),
        ("Read ISIC 2020.\n\nWhy.\n", "full stop"),
        (f"Read {'x' * 70}\n\nWhy.\n", "72"),
        ("fix: read\n\nWhy.\n", "lower case"),
        ("Read\nWhy.\n\nx\n", "second line"),
        ("Read ISIC 2020\n\n# Why.\n", "body"),
    ],
)
def test_a_bad_message_is_named(message, word):
    assert any(word in problem for problem in MODULE.problems(message))
