"""``lakegate config`` and ``lakegate serve``: what is wrong is said, with the code that scripts can act on."""

import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from free_ports import free_port
from lakegate_command import lakegate, serving, written

from gateway.__main__ import main

pytestmark = pytest.mark.service

SITE = {"id": "edge-a", "kind": "edge", "catalogue": {"url": "http://127.0.0.1:9"}}
COMMANDS = [
    (), ("demo",), ("serve",), ("site",), ("site", "serve"), ("config",), ("config", "check"), ("config", "schema"),
    ("search",), ("place",), ("harvest",), ("harvest", "estimate"), ("harvest", "order"), ("harvest", "status"),
    ("harvest", "list"), ("harvest", "cancel"), ("quota",), ("quota", "show"), ("quota", "check"),
    ("quota", "history"), ("quota", "usage"), ("quota", "waiting"), ("quota", "policies"), ("quota", "set-policy"),
    ("quota", "delete-policy"), ("quota", "grants"), ("quota", "grant"), ("quota", "revoke"),
    ("sites",), ("token",), ("token", "create"), ("token", "list"), ("token", "revoke"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "lakegate")
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(main, [*command, "--help"])
    assert ended.exit_code == 0
    assert "Usage:" in ended.output
    assert ended.output.count("\n") > 5


def test_the_installed_command_explains_itself_and_its_exit_codes() -> None:
    ended = lakegate("--help")
    assert (ended.code, ended.err) == (0, "")
    assert "5 a site is missing" in ended.out
    assert all(command[0] in ended.out for command in COMMANDS if command)


def test_an_unknown_command_is_wrong_usage() -> None:
    ended = lakegate("serch")
    assert ended.code == 2
    assert "serch" in ended.err


def test_a_configuration_that_holds_is_said_to(tmp_path: Path) -> None:
    file = written(tmp_path / "gateway.yaml", {"sites": [SITE, SITE | {"id": "hub-b", "kind": "hub"}]})
    ended = lakegate("config", "check", str(file))
    assert (ended.code, ended.out, ended.err) == (0, f"{file}: valid; 1 edges, 1 hubs\n", "")
    told = lakegate("config", "check", str(file), "--json")
    assert (told.code, told.json()) == (0, {"file": str(file), "valid": True, "errors": []})


SECRET = {"file": "/no/such/file"}
WRONG: dict[str, tuple[Any, str]] = {
    "an unknown key": ({"server": {"prot": 1}}, "$.server: Object contains unknown field `prot`"),
    "a value of the wrong type": ({"server": {"port": "eighty"}}, "$.server.port: Expected `int`, got `str`"),
    "a wrong choice": ({"sites": [SITE | {"kind": "lake"}]}, "$.sites[0].kind: Invalid enum value 'lake'"),
    "an id used twice": ({"sites": [SITE, SITE]}, "site id 'edge-a' is used twice"),
    "an unreadable secret": (
        {"auth": {"tokens": [{"user": "a", "token": SECRET}]}},
        "$.auth.tokens[0].token: secret in file /no/such/file cannot be read",
    ),
    "a policy of no resource": (
        {"quotas": {"policies": [{"name": "n", "group": "g", "resource": "beer", "kind": "stock", "amount": 1}]}},
        "resource 'beer' is none of",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_configuration_is_refused_for(tmp_path: Path, wrong: str) -> None:
    content, words = WRONG[wrong]
    file = written(tmp_path / "gateway.yaml", content)
    ended = lakegate("config", "check", str(file))
    assert (ended.code, ended.out) == (3, "")
    assert words in ended.err
    told = lakegate("config", "check", str(file), "--json")
    assert (told.code, told.json()["valid"]) == (3, False)
    assert words in told.json()["errors"][0]
    served = lakegate("serve", "--config", str(file))
    assert served.code == 2
    assert words in served.err
    assert "Traceback" not in served.err


def test_a_missing_file_and_a_bad_override_are_named(tmp_path: Path) -> None:
    for command in (("config", "check"), ("serve", "--config")):
        ended = lakegate(*command, str(tmp_path / "none.yaml"))
        assert ended.code == (3 if command[0] == "config" else 2)
        assert "none.yaml: cannot be read" in ended.err
    file = written(tmp_path / "gateway.yaml", {})
    ended = lakegate("config", "check", str(file), LAKEGATE__SERVER__PORT="many")
    assert ended.code == 3
    assert "$.server.port" in ended.err


def test_the_schema_is_json_schema() -> None:
    ended = lakegate("config", "schema")
    assert ended.code == 0
    assert ended.json()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


UNUSABLE: dict[str, tuple[Any, str]] = {
    "two users with one token": (
        [{"user": "a", "token": {"env": "BOTH"}}, {"user": "b", "token": {"env": "BOTH"}}],
        "users a and b have the same token",
    ),
    "a group that is no path": ([{"user": "a", "token": {"env": "BOTH"}, "groups": ["//"]}], "group '//' is no path"),
    "another's charging group": (
        [{"user": "a", "token": {"env": "BOTH"}, "groups": ["g"], "charging_group": "h"}],
        "charging_group 'h' is none of their groups",
    ),
}


@pytest.mark.parametrize("wrong", UNUSABLE)
def test_a_gateway_does_not_start_with(tmp_path: Path, wrong: str) -> None:
    tokens, words = UNUSABLE[wrong]
    content = {"server": {"port": free_port(), "state": str(tmp_path / "state")}, "auth": {"tokens": tokens}}
    ended = lakegate("serve", "--config", str(written(tmp_path / "gateway.yaml", content)), BOTH="the-same-token")
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        content = {"server": {"port": port, "state": str(tmp_path / "state")}}
        ended = lakegate("serve", "--config", str(written(tmp_path / "gateway.yaml", content)))
    assert ended.code == 1
    assert str(port) in ended.err
    assert "Traceback" not in ended.err


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    content = {"server": {"port": free_port(), "state": str(tmp_path / "file" / "state")}}
    ended = lakegate("serve", "--config", str(written(tmp_path / "gateway.yaml", content)))
    assert ended.code == 1
    assert str(tmp_path / "file") in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_serves_until_it_is_told_to_end(tmp_path: Path, number: int) -> None:
    content = {"server": {"port": 1, "state": str(tmp_path / "state")}, "sites": [SITE]}
    file = written(tmp_path / "gateway.yaml", content)
    port = free_port()
    with serving("serve", "--config", str(file), "--port", str(port), "--json", log=tmp_path / "log") as served:
        assert served.line() == f"Lakegate listens at http://127.0.0.1:{port}\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert json.load(answer) == {"status": "pass"}
        assert served.end(number) == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert all(json.loads(line)["message"] for line in lines)
    with socket.create_server(("127.0.0.1", port)):
        pass
