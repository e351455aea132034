"""What the checks in a fresh clone read of a run of tests."""

import importlib.util
import shlex
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def checking():
    spec = importlib.util.spec_from_file_location("checking", TESTS / "checking.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["checking"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clone(tmp_path):
    clone = tmp_path / "clone"
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # no link: not every version finds its packages from one
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return clone


def run(checking, clone, text):
    (clone / "test_some.py").write_text(text)
    return checking.Checks(clone).pytest("test_some.py", "-p", "no:cacheprovider", "--rootdir", str(clone))


def test_what_passed_was_skipped_and_failed_is_counted(checking, clone):
    told = run(
        checking,
        clone,
        "import pytest\n"
        "def test_a(record_property):\n    record_property('lives', 30)\n"
        "def test_b(record_property):\n    record_property('lives', 12)\n"
        "def test_c():\n    pytest.skip('no server')\n"
        "def test_d():\n    assert False\n",
    )
    assert (told.passed, told.skipped, told.failed) == (2, 1, 1)
    assert told.figures == {"lives": 42}
    assert not told.all_ran


def test_a_skipped_test_shows_nothing(checking, clone):
    good = "def test_a():\n    pass\n"
    assert run(checking, clone, good).all_ran
    assert not run(checking, clone, good + "import pytest\ndef test_b():\n    pytest.skip('x')\n").all_ran
    assert not run(checking, clone, "").all_ran


def test_figures_are_printed_by_name_value_and_target(checking, clone, capsys):
    checks = checking.Checks(clone)
    checks.note("speed", "3 a second", "at least 2", held=True)
    checks.note("waste", 9, "at most 2", held=False)
    assert [str(figure) for figure in checks.figures] == [
        "speed: 3 a second (at least 2)",
        "waste: 9 (at most 2)  <- not reached",
    ]
