import asyncio
import json
import signal
import socket

import aiohttp
import pytest
from click.testing import CliRunner
from lakegate_process import ending, lakegate_beside, lakegate_ended

from gateway.cli.site import site

pytestmark = pytest.mark.service


def serving(*options):
    return lakegate_beside("site", "serve", *options)


@pytest.fixture
def items_file(tmp_path, make_item):
    file = tmp_path / "scenes.ndjson"
    lines = [json.dumps(make_item(f"i{n}", "scenes")) for n in range(3)]
    file.write_text("\n".join([*lines, "{broken"]))
    return file


async def test_it_loads_serves_and_stops_when_told(items_file, tmp_path):
    async with serving("--items", items_file, "--db", tmp_path / "c.db", "--port", 0, "--json") as process:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        assert ready["loaded"]["items"] == 3
        assert ready["loaded"]["bad"] == 1
        async with aiohttp.ClientSession() as session, session.get(f"{ready['url']}/search") as response:
            assert (await response.json())["numberMatched"] == 3
        process.send_signal(signal.SIGTERM)
        told = await ending(process)
    assert told.code == 0
    assert f"skipped {items_file}:4: not a JSON object" in told.err


async def test_a_catalogue_that_was_kept_is_served_without_its_files(items_file, tmp_path):
    for options in (("--items", items_file), ()):
        async with serving(*options, "--db", tmp_path / "c.db", "--port", 0, "--json") as process:
            ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
            url = f"{ready['url']}/collections/scenes"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                assert response.status == 200
            process.send_signal(signal.SIGINT)
            assert (await ending(process)).code == 0


async def test_a_port_that_is_taken_is_told(items_file):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = await lakegate_ended("site", "serve", "--items", items_file, "--port", port)
    assert told.code == 1
    assert f"cannot listen at 127.0.0.1:{port}" in told.err


def test_wrong_usage_is_told_with_its_own_code(items_file, tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("")
    for options, told in [
        (("--items", str(tmp_path / "nowhere")), "nowhere"),
        ((), "--items"),
        (("--items", str(items_file), "--write-token-file", str(empty)), "empty or not set"),
    ]:
        result = CliRunner().invoke(site, ["serve", *options])
        assert (result.exit_code, told in result.output) == (2, True)


async def test_strict_stops_at_the_first_bad_line(items_file):
    told = await lakegate_ended("site", "serve", "--items", items_file, "--port", 0, "--strict")
    assert told.code == 1
    assert f"{items_file}:4" in told.err
