import asyncio
import json
import os
import signal
import socket
import sys

import aiohttp
import pytest
from click.testing import CliRunner

from gateway.cli.site import site

pytestmark = pytest.mark.service


async def start(*options):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "site", "serve", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONWARNINGS": "error::ResourceWarning"},
    )  # fmt: skip


async def ended(process):
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def items_file(tmp_path, make_item):
    file = tmp_path / "scenes.ndjson"
    lines = [json.dumps(make_item(f"i{n}", "scenes")) for n in range(3)]
    file.write_text("\n".join([*lines, "{broken"]))
    return file


async def test_it_loads_serves_and_stops_when_told(items_file, tmp_path):
    process = await start("--items", str(items_file), "--db", str(tmp_path / "c.db"), "--port", "0", "--json")
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert ready["loaded"]["items"] == 3
    assert ready["loaded"]["bad"] == 1
    async with aiohttp.ClientSession() as session, session.get(f"{ready['url']}/search") as response:
        assert (await response.json())["numberMatched"] == 3
    process.send_signal(signal.SIGTERM)
    code, _, err = await ended(process)
    assert code == 0
    assert f"skipped {items_file}:4: not a JSON object" in err


async def test_a_catalogue_that_was_kept_is_served_without_its_files(items_file, tmp_path):
    for options in (("--items", str(items_file)), ()):
        process = await start(*options, "--db", str(tmp_path / "c.db"), "--port", "0", "--json")
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        async with aiohttp.ClientSession() as session, session.get(f"{ready['url']}/collections/scenes") as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        assert (await ended(process))[0] == 0


async def test_a_port_that_is_taken_is_told(items_file):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = await ended(await start("--items", str(items_file), "--port", str(port)))
    assert code == 1
    assert f"cannot listen at 127.0.0.1:{port}" in err


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
    code, _, err = await ended(await start("--items", str(items_file), "--port", "0", "--strict"))
    assert code == 1
    assert f"{items_file}:4" in err
