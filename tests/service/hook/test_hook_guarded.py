"""What HOOK's orders must not do: tell secrets, reach strangers, meddle with others' orders, leave things behind."""

import asyncio

import pytest
from hook_outside import FILES, SCENE, SENTINELS, Outside
from hook_scene import bytes_below, external, listed, order, own_bucket, told_logs
from s3_bucket import SECRET
from waiting import until

from quotas.model import Policy

pytestmark = pytest.mark.service


def policy(resource, amount, kind="window", **more):
    seconds = 3600 if kind == "window" else 0
    return Policy(
        name=resource, group="root/eo", resource=resource, kind=kind, amount=amount, window_seconds=seconds, **more
    )


async def test_no_secret_is_told_logged_or_kept_in_the_clear(world, outside):
    outside.gate = asyncio.Event()
    told = []
    with told_logs() as logs:
        async with world.gateway() as hook:
            made = await hook.post("BatchOrder/OData.CSC.Order", order(external(outside), own_bucket(world)))
            wrong = external(outside, source_password=SENTINELS[0] + "-wrong", source_type="NONE")
            told += [made.text, (await hook.post("BatchOrder/OData.CSC.Order", order(wrong))).text]
            number = made.json()["value"]["Id"]
            await hook.until(number, lambda each: each["Status"] == "in_progress")
            await until(lambda: any(path.startswith("/closed/") for path, _ in outside.seen))
            kept = await asyncio.to_thread(bytes_below, world.folder / "state")
            outside.gate.set()
            await hook.ended(number)
            for path in ("BatchOrder", f"BatchOrder({number})", f"BatchOrder({number})/Products", "ProductionOrders"):
                told.append((await hook.get(path)).text)
            jobs = await asyncio.to_thread(hook.session.get, f"{hook.url}/jobs", timeout=10)
            for job in jobs.json()["jobs"]:
                for tail in ("", "/results", "/explain"):
                    at = f"{hook.url}/jobs/{job['jobID']}{tail}"
                    told.append((await asyncio.to_thread(hook.session.get, at, timeout=10)).text)
        kept += await asyncio.to_thread(bytes_below, world.folder / "state")
    assert "source_password" in told[0]
    ours = [line for line in logs if "botocore" not in line]
    for secret in (*SENTINELS, SECRET):
        assert all(secret not in text for text in told)
        assert all(secret not in line for line in ours)
        assert secret.encode() not in kept


async def keys_forgotten(world):
    """Wait until the state holds no sealed keys of an order."""

    async def forgotten():
        return b'"sealed":""' in await asyncio.to_thread(bytes_below, world.folder / "state")

    await until(forgotten)


async def test_keys_are_forgotten_when_the_order_ends(world):
    async with world.gateway() as hook:
        number = await hook.order(output=own_bucket(world))
        await hook.ended(number)
        await keys_forgotten(world)
        job = (await asyncio.to_thread(hook.session.get, f"{hook.url}/jobs", timeout=10)).json()["jobs"][0]["jobID"]
        results = await asyncio.to_thread(hook.session.get, f"{hook.url}/jobs/{job}/results", timeout=10)
        assert results.status_code == 410
        assert "forgotten" in results.json()["detail"]


async def test_a_token_follows_no_redirect_to_a_stranger(world, outside):
    async with Outside().serving() as stranger:
        outside.redirect_to = stranger.url
        world.harvest["allowed_origins"] = (stranger.url,)
        async with world.gateway() as hook:
            ended = await hook.ended(await hook.order(source=external(outside, "ODATA")))
            assert ended["Status"] == "failed"
        assert stranger.seen
        assert all("Authorization" not in headers for _, headers in stranger.seen)


async def test_refused_credentials_fail_all_products_after_one_try(world, outside):
    outside.refuse = True
    async with world.gateway() as hook:
        identifiers = (SCENE, "B", "C", "D", "E")
        ended = await hook.ended(await hook.order(source=external(outside), identifiers=identifiers))
        assert ended["Status"] == "failed"
        assert "are the credentials right?" in ended["StatusMessage"]
        assert len(outside.grants) == 1


async def test_orders_are_their_users_own(world):
    async with world.gateway() as hook:
        number = await hook.order()
        product = (await hook.products(number))[0]["Id"]
        await hook.ended(number)
        link = (await hook.products(number))[0]["DownloadLink"]
        with hook.other("bob") as bob:
            assert (await bob.get("BatchOrder")).json()["value"] == []
            paths = [f"BatchOrder({number})", f"BatchOrder({number})/Products", f"ProductionOrders({number})"]
            for path in [*paths, f"BatchOrder({number})/Product({product})/$value"]:
                answer = await bob.get(path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NoSuchOrder")
            assert (await bob.post(f"BatchOrder({number})/OData.CSC.Cancel", {})).status_code == 404
            other = await bob.order()
            forged = link.replace(f"/{number}/", f"/{other}/")
            assert (await asyncio.to_thread(bob.session.get, forged, timeout=10)).status_code == 401
        with hook.other("nobody") as nobody:
            answer = await nobody.get("BatchOrder")
            assert (answer.status_code, "error" in answer.json()) == (401, True)
            later = link.replace("temp_url_expires=", "temp_url_expires=9")
            refused = await asyncio.to_thread(nobody.session.get, later, headers={"Authorization": None}, timeout=10)
            assert refused.status_code == 401


async def test_a_cancelled_order_leaves_nothing_behind(world, outside):
    outside.gate = asyncio.Event()
    async with world.gateway() as hook:
        number = await hook.order(output=own_bucket(world))
        await hook.until(number, lambda each: each["Status"] == "in_progress")
        cancelled = await hook.post(f"BatchOrder({number})/OData.CSC.Cancel", {})
        assert (cancelled.status_code, cancelled.json()["value"]["Status"]) == (200, "cancelled")
        outside.gate.set()
        assert (await hook.post(f"ProductionOrder({number})/OData.CSC.Cancel", {})).json()["value"][
            "Status"
        ] == "cancelled"
        assert (await hook.ended(number))["Status"] == "cancelled"
        await keys_forgotten(world)
        assert await asyncio.to_thread(listed, world.s3, f"{world.bucket}-own") == {}


async def test_more_orders_than_the_quota_allows_are_refused_in_odatas_words(world):
    world.policies = (policy("hook_orders", 1),)
    async with world.gateway() as hook:
        await hook.order()
        refused = await hook.post("BatchOrder/OData.CSC.Order", order())
        assert refused.status_code == 429
        assert refused.json()["error"]["code"]
        assert len((await hook.get("BatchOrder")).json()["value"]) == 1


async def test_products_wait_for_their_turn_where_one_job_at_once_is_allowed(world):
    world.policies = (policy("harvest_jobs", 1, "concurrent"),)
    async with world.gateway() as hook:
        number = await hook.order(identifiers=(SCENE, SCENE.removesuffix(".SAFE"), "NO_SUCH"))
        ended = await hook.ended(number, seconds=60)
        states = [each["Status"] for each in await hook.products(number)]
        assert (ended["Status"], states) == ("failed", ["completed", "completed", "failed"])


async def test_temporary_products_go_when_their_time_is_over_and_give_their_quota_back(world):
    world.policies = (policy("storage_bytes", 1 << 30, "stock"),)
    world.harvest["temporary_seconds"] = 3.0
    async with world.gateway() as hook:
        number = await hook.order()
        await hook.ended(number)
        link = (await hook.products(number))[0]["DownloadLink"]

        async def used():
            told = await asyncio.to_thread(hook.session.get, f"{hook.url}/quotas/me", timeout=10)
            return sum(map(len, FILES.values())) if str(sum(map(len, FILES.values()))) in told.text else 0

        assert await used()

        async def gone():
            return not await asyncio.to_thread(listed, world.s3, world.bucket) and not await used()

        await until(gone)
        assert (await hook.products(number))[0]["DownloadLink"] is None
        assert (await asyncio.to_thread(hook.session.get, link, timeout=10)).status_code in (401, 410)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("ProductionOrders?$filter=(((Id eq 1", "$filter"),
        ("BatchOrder?$filter=password eq 'x'", "$filter"),
        ("BatchOrder?$top=99999", "$top"),
        ("Workflows?$expand=Secrets", "$expand"),
    ],
)
async def test_hostile_options_are_refused_in_odatas_shape(world, path, target):
    async with world.gateway() as hook:
        answer = await hook.get(path)
        assert (answer.status_code, answer.json()["error"]["target"]) == (400, target)
        assert (await hook.get("BatchOrder(999999999999)")).status_code == 404
        assert (await hook.get("BatchOrder(x)")).status_code == 404


async def test_a_request_line_with_parentheses_encoded_is_the_same(world):
    async with world.gateway() as hook:
        number = await hook.order()
        assert (await hook.get(f"BatchOrder%28{number}%29/Products")).status_code == 200
        assert (await hook.get(f"BatchOrder(Id={number})?%24select=Id")).status_code == 200
