"""The pinned versions go with every Python that the project says it runs on, its oldest one included."""

import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_no_pinned_package_wants_a_newer_python_than_the_project_does() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = f"{told.removeprefix('>=')}.0"  # such as that of the current stable Debian, which is one of its first
    pinned = {canonicalize_name(Requirement(line).name) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = {
        each.name: each.metadata.get("Requires-Python", "")
        for each in distributions()
        if canonicalize_name(each.name) in pinned
    }

    assert wanted
    assert {name: told for name, told in wanted.items() if not SpecifierSet(told).contains(oldest)} == {}
