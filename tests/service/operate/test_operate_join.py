"""An edge joins by one command, and is looked at from outside."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from edges.catalogues.memory import MemoryCatalogue
from edges.settings import SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.cli.site_join import site
from gateway.config import parse_settings
from gateway.joining.checks import clock_of, look_at


def prepared(into: Path, *more: str) -> Result:
    arguments = ["join", "prepare", "edge-a", "--into", str(into), "--catalogue", "https://a.example.org/stac"]
    return CliRunner().invoke(site, [*arguments, "--dask", "https://a.example.org/dask", *more])


def test_both_sides_get_what_they_need_and_the_secrets_are_in_files_alone(tmp_path):
    told = prepared(tmp_path, "--kernels", "https://a.example.org/kernels", "--comms", "a.example.org:8786")
    assert told.exit_code == 0, told.output
    found = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(found) == {"claims", "write-token", "kernel-token"}
    assert all(len(secret) >= 32 for secret in found.values())
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "secrets").iterdir())
    papers = "".join(path.read_text() for path in tmp_path.glob("*.yaml")) + told.output
    assert not [name for name, secret in found.items() if secret in papers]
    sites = yaml.safe_load((tmp_path / "gateway-site.yaml").read_text())
    settings = parse_settings({"sites": sites}, {}, source="join")
    dask = settings.sites[0].dask
    assert dask is not None
    assert dask.secret.reveal() == found["claims"]
    assert dask.proxy_address == "a.example.org:8786"
    assert "kubectl create secret generic lakegate-edge-a" in told.output


def test_preparing_again_keeps_the_secrets(tmp_path):
    prepared(tmp_path)
    before = (tmp_path / "secrets" / "claims").read_text()
    assert prepared(tmp_path).exit_code == 0
    assert (tmp_path / "secrets" / "claims").read_text() == before


def test_an_id_that_no_site_can_have_is_refused(tmp_path):
    arguments = ["join", "prepare", "edge a", "--into", str(tmp_path), "--catalogue", "https://a.example.org"]
    told = CliRunner().invoke(site, arguments)
    assert told.exit_code == 2
    assert "letters, digits" in told.output


@pytest.mark.parametrize(
    ("off", "verdict"), [(0, "good"), (2, "good"), (5, "poor"), (-5, "poor"), (60, "bad"), (-3600, "bad")]
)
def test_a_clock_that_would_refuse_our_claims_is_told(off, verdict):
    assert clock_of(formatdate(1_000_000 + off, usegmt=True), now=1_000_000).verdict == verdict


def test_an_answer_without_a_date_leaves_the_clock_unknown():
    assert clock_of("", now=0).verdict == "poor"


@pytest.fixture
async def catalogue() -> AsyncIterator[str]:
    async with serving(MemoryCatalogue(), SiteServerSettings(write_token="x" * 32)) as url:
        yield url


def site_of(url: str, **more: object) -> SiteSettings:
    content = {"sites": [{"id": "edge-a", "kind": "edge", "catalogue": {"url": url}, **more}]}
    return parse_settings(content, {}, source="test").sites[0]


async def test_a_catalogue_that_answers_is_found_good(catalogue):
    findings = {(each.part, each.what): each for each in await look_at(site_of(catalogue))}
    assert findings["catalogue", "version"].detail.startswith("STAC 1.")
    assert findings["catalogue", "searches"].verdict == "good"
    assert findings["clock", "agrees"].verdict == "good"
    assert findings["catalogue", "TLS"].verdict == "poor"  # http, on loopback


async def test_a_part_that_is_not_there_is_found_bad_and_the_others_are_looked_at_still(catalogue, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    secret = tmp_path / "secret"
    secret.write_text("x" * 32)
    dask = {"url": dead, "secret": {"file": str(secret)}}
    kernels = {"url": dead, "token": {"file": str(tmp_path / "missing")}}
    findings = await look_at(site_of(catalogue, dask=dask, kernels=kernels))
    bad = {each.part for each in findings if each.verdict == "bad"}
    assert bad == {"dask", "kernels"}
    assert "missing" in next(each.detail for each in findings if each.part == "kernels" and each.verdict == "bad")


async def test_the_report_is_json_for_scripts_and_its_exit_code_tells_of_what_is_bad(catalogue, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"sites": [{"id": "edge-a", "kind": "edge", "catalogue": {"url": catalogue}}]}))
    told = await asyncio.to_thread(
        CliRunner().invoke, site, ["join", "check", "edge-a", "--config", str(file), "--json"]
    )
    assert told.exit_code == 0, told.output
    assert json.loads(told.output)["edge"] == "edge-a"
    file.write_text(file.read_text().replace(catalogue, f"{catalogue}/nothing-here"))
    told = await asyncio.to_thread(CliRunner().invoke, site, ["join", "check", "edge-a", "--config", str(file)])
    assert told.exit_code == 1
    assert "404" in told.output


async def test_a_site_that_the_configuration_does_not_name_is_told(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text("sites: []\n")
    told = await asyncio.to_thread(CliRunner().invoke, site, ["join", "check", "edge-z", "--config", str(file)])
    assert told.exit_code == 2
    assert "edge-z" in told.output
