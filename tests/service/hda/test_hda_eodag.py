"""EODAG with its own provider ``dedl``: only its addresses and credentials are overridden."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from hda_lake import OLCI
from hda_scene import Scene, scene_in
from order_provider import CONTENT, ERA5

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

SESSION = Path(__file__).with_name("eodag_session.py")


def contents(path: str) -> list[bytes]:
    """Return what stands in a file, or in the files of a folder."""
    place = Path(path)
    return [each.read_bytes() for each in ([place] if place.is_file() else place.rglob("*")) if each.is_file()]


def environment_of(scene: Scene, folder: Path) -> dict[str, str]:
    """Return what a user of EODAG sets: addresses and credentials, and nothing else of the provider."""
    (folder / "collections.json").write_text("{}")
    desp = f"{scene.realm.url}/realms/desp"
    own = {
        "SEARCH__API_ENDPOINT": f"{scene.url}/stac/v2/search",
        "SEARCH__DISCOVER_COLLECTIONS__FETCH_URL": f"{scene.url}/stac/v2/collections",
        "AUTH__SUBJECT__OIDC_CONFIG_URL": f"{desp}/.well-known/openid-configuration",
        "AUTH__SUBJECT__REDIRECT_URI": f"{scene.url}/stac/v2",
        "AUTH__TOKEN_URI": f"{scene.realm.url}/auth/realms/dedl/protocol/openid-connect/token",
        "AUTH__MATCHING_URL": "http://127.0.0.1:.*",
        "AUTH__CREDENTIALS__USERNAME": "alice",
        "AUTH__CREDENTIALS__PASSWORD": "alice-password",
        "PRIORITY": "10",
        "DOWNLOAD__OUTPUT_DIR": str(folder / "downloads"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EODAG")}
    return (
        kept
        | {f"EODAG__DEDL__{name}": value for name, value in own.items()}
        | {
            "HOME": str(folder),
            "EODAG_CFG_DIR": str(folder / "eodag"),
            "EODAG_PROVIDERS_WHITELIST": '["dedl"]',
            "EODAG_EXT_COLLECTIONS_CFG_URI": str(folder / "collections.json"),
        }
    )


async def test_eodag_lists_searches_pages_orders_and_downloads(tmp_path: Path) -> None:
    async with scene_in(tmp_path) as scene:
        scene.provider.done_after = 3
        (tmp_path / "downloads").mkdir()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SESSION),
            env=environment_of(scene, tmp_path),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(240):
            output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()[-4000:]
        told = json.loads(output.splitlines()[-1])
        assert {"S3_OLCI_L2WRR", "ERA5_SL"} <= set(told["collections"])
        assert told["discovered"] == [ERA5, OLCI]
        assert told["first"] == [f"S3A_{day:02}" for day in range(25, 15, -1)]
        assert told["status"] == "succeeded"
        assert told["all"] == [f"S3A_{day:02}" for day in range(25, 0, -1)]
        assert told["one"] == "S3A_05"
        assert b"<manifest>S3A_05</manifest>" in contents(told["path"])
        assert {"ecmwf_variable", "ecmwf_year", "ecmwf_month"} <= set(told["queryables"])
        assert told["orderable"][1] == "orderable"
        assert contents(told["ordered path"]) == [CONTENT]
        assert len(scene.provider.placed) == 1
        assert scene.realm.exchanges > 0
