import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, json_schema, parse_settings, read_settings
from gateway.secrets import unreadable_secrets

SITE = {"id": "edge-a", "kind": "edge", "catalogue": {"url": "http://127.0.0.1:1"}}


def wrong(content: Any, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_settings(content, environ or {}, source="f.yaml")
    return str(caught.value)


def test_an_empty_file_is_a_valid_configuration(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("")
    assert read_settings(path, {}).server.port == 8400


@pytest.mark.parametrize(
    ("content", "path", "words"),
    [
        ({"sever": {}}, "$", "sever"),
        ({"server": {"port": "eighty"}}, "$.server.port", "int"),
        ({"server": {"prot": 1}}, "$.server", "prot"),
        ({"sites": [SITE | {"kind": "lake"}]}, "$.sites[0].kind", "lake"),
        ({"sites": [SITE | {"id": "a b"}]}, "$.sites[0]", "may hold ASCII letters"),
        ({"sites": [SITE, SITE]}, "$", "used twice"),
        (
            {"sites": [SITE | {"kind": "hub", "dask": {"url": "http://x", "secret": {"env": "S"}}}]},
            "$.sites[0]",
            "catalogue only",
        ),
        (
            {"auth": {"tokens": [{"user": "u", "token": {"file": "f", "env": "E"}}]}},
            "$.auth.tokens[0].token",
            "exactly one",
        ),
        (["sites"], "$", "mapping"),
    ],
)
def test_a_bad_value_is_named_by_its_path(content: Any, path: str, words: str) -> None:
    message = wrong(content)
    assert f"f.yaml: {path}: " in message
    assert words in message


def test_the_environment_overrides_a_value_and_is_checked_like_the_file() -> None:
    settings = parse_settings({"server": {"port": 1}}, {"LAKEGATE__SERVER__PORT": "8500"}, source="f")
    assert settings.server.port == 8500
    assert "$.server.port" in wrong({}, {"LAKEGATE__SERVER__PORT": "many"})


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(tmp_path / "none.yaml", {})
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ConfigError, match="not YAML"):
        read_settings(broken, {})


def test_secrets_that_cannot_be_read_are_named_by_their_path(tmp_path: Path) -> None:
    there = tmp_path / "token"
    there.write_text("x\n")
    tokens = [
        {"user": "a", "token": {"file": str(there)}},
        {"user": "b", "token": {"file": str(tmp_path / "none")}},
    ]
    settings = parse_settings({"auth": {"tokens": tokens}}, {}, source="f")
    assert [line.partition(":")[0] for line in unreadable_secrets(settings)] == ["$.auth.tokens[1].token"]


def test_the_schema_knows_every_group() -> None:
    schema = json.dumps(json_schema())
    assert all(
        f'"{group}"' in schema for group in ("sites", "auth", "quotas", "harvest", "limits", "compute", "server")
    )


def test_further_files_add_sites_and_the_first_of_an_id_stays(tmp_path: Path) -> None:
    more = tmp_path / "sites.yaml"
    other = SITE | {"id": "edge-b"}
    more.write_text(json.dumps([SITE | {"title": "another"}, other]))
    path = tmp_path / "f.yaml"
    path.write_text(json.dumps({"sites": [SITE], "sites_from": [str(more), str(tmp_path / "absent.yaml")]}))
    assert [(site.id, site.title) for site in read_settings(path, {}).sites] == [("edge-a", ""), ("edge-b", "")]


def test_a_wrong_site_in_a_further_file_is_told_with_its_place(tmp_path: Path) -> None:
    more = tmp_path / "sites.yaml"
    more.write_text("[{id: edge-b, kind: hill}]")
    path = tmp_path / "f.yaml"
    path.write_text(json.dumps({"sites_from": [str(more)]}))
    with pytest.raises(ConfigError, match=r"sites.yaml: \$\[0\].kind"):
        read_settings(path, {})
