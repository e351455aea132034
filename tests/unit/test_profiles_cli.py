"""``lakegate sites --profiles`` and ``--profile``: what a user starts an own profile from."""

import json
from pathlib import Path

import yaml
from click.testing import CliRunner

from edges.profiles.load import load_profile, shipped_profiles
from gateway.cli.sites import sites


def test_the_shipped_profiles_are_listed_without_a_gateway() -> None:
    result = CliRunner().invoke(sites, ["--profiles", "--json"])
    assert result.exit_code == 0
    assert [each["name"] for each in json.loads(result.output)["profiles"]] == shipped_profiles()
    assert "planetary-computer" in CliRunner().invoke(sites, ["--profiles"], terminal_width=200).output


def test_a_printed_profile_can_be_used_as_an_own_one(tmp_path: Path) -> None:
    for name in shipped_profiles():
        result = CliRunner().invoke(sites, ["--profile", name])
        assert result.exit_code == 0
        own = tmp_path / f"{name}.yaml"
        own.write_text(result.output, encoding="utf-8")
        assert load_profile(str(own)) == load_profile(name)
        assert yaml.safe_load(result.output)["name"] == name


def test_an_unknown_profile_ends_with_an_error() -> None:
    result = CliRunner().invoke(sites, ["--profile", "nothing"])
    assert result.exit_code == 1
    assert "no profile 'nothing'" in result.output
