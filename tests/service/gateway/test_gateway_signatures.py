"""Signatures in what a site gives are for the user who asked, and for no record of ours."""

import logging
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from federated_lake import gateway_over, hub, item, site_of
from hostile_sites import hostile, page

from gateway.settings import LimitSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

SIGNED = "https://data.example/a.tif?X-Amz-Signature=SENTINEL-OF-A-SIGNATURE"
LIMITS = LimitSettings(deadline_seconds=8.0, probe_seconds=3600.0)


async def test_a_signature_of_a_site_gets_into_no_log_metric_or_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("sig"):
            return web.Response(status=500, text=f"cannot read {SIGNED}")
        bad = item("x", "bad") | {"assets": {"data": {"href": SIGNED}, "bad": {"href": f"javascript:{SIGNED}"}}}
        following = {"rel": "next", "href": f"{site.url}/search?sig=SENTINEL-OF-A-SIGNATURE"}
        return page([bad, {"no": SIGNED}], following)

    good = [item("g", "good")]
    with caplog.at_level(logging.DEBUG):
        async with hostile(answer) as site, site_of(good, tmp_path / "good.db") as url:
            sites = [hub("good", url), hub("bad", site.url)]
            async with gateway_over(sites, tmp_path, limits=LIMITS) as client:
                status, found = await client.post({"limit": 5})
                assert status == 200
                assert "answered 500" in found["federation"]["bad"]["reason"]
                told = [msgspec.json.encode(found["federation"])]
                _, explained = await client.post({"limit": 5}, "/search/explain")
                told.append(msgspec.json.encode(explained))
                for path in ("/metrics", "/sites/bad", "/sites"):
                    async with client.session.get(client.url + path) as response:
                        told.append(await response.read())
    assert any(request.query.get("sig") for request in site.requests)
    for each in told:
        assert b"SENTINEL" not in each
    ours = [record for record in caplog.records if not record.name.startswith(("aiohttp", "asyncio"))]
    assert "SENTINEL" not in "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
