"""Every route of the gateway has a scope, and a token that is restricted does not get beyond it."""

from contextlib import AsyncExitStack

import pytest
from free_ports import free_port

from gateway.app import furnish
from gateway.auth.identity import Forbidden
from gateway.auth.scopes import TABLE, check_scope, needed_scope
from gateway.settings import ServerSettings, Settings

BEFORE_ANY_TOKEN = {"/livez", "/readyz"}
"""Answered before the routes are looked at."""


@pytest.fixture
async def routes(tmp_path):
    settings = Settings(server=ServerSettings(port=free_port(), state=str(tmp_path / "state")))
    async with AsyncExitStack() as stack:
        house, _ = await furnish(settings, stack)
        return [(route.method, route.resource.canonical) for route in house.application().router.routes()]


async def test_every_route_that_is_served_has_a_scope(routes):
    assert len(routes) > 40
    unknown = sorted({path for method, path in routes if needed_scope(method, path) is None})
    assert not unknown, f"say in gateway/auth/scopes.py which scope these need: {', '.join(unknown)}"


async def test_the_table_opens_nothing_that_is_not_there_yet(routes):
    served = {path for _, path in routes} | BEFORE_ANY_TOKEN
    early = [root for root, *_ in TABLE if not any(path == root or path.startswith(root + "/") for path in served)]
    assert not early, f"a later face there would be open to restricted tokens unseen: {', '.join(early)}"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", "read"),
        ("POST", "/search", "read"),
        ("POST", "/quotas/check", "read"),
        ("GET", "/quotas/policies", "read"),
        ("PUT", "/quotas/policies/burst", "admin"),
        ("GET", "/admin/tokens", "admin"),
        ("GET", "/api/v1/clusters/", "compute"),
        ("POST", "/api/kernels", "compute"),
        ("GET", "/clusters/c/status", "compute"),
        ("GET", "/jobs/1", "read"),
        ("POST", "/processes/harvest/execution", "harvest"),
        ("DELETE", "/jobs/1", "harvest"),
    ],
)
def test_a_restricted_token_reads_and_does_what_its_scopes_name(method, path, scope):
    assert needed_scope(method, path) == scope
    check_scope((), method, path)
    check_scope((scope,), method, path)
    if scope != "read":
        with pytest.raises(Forbidden, match=f"needs the scope '{scope}'"):
            check_scope(("read",), method, path)


def test_what_the_table_does_not_know_is_closed_to_restricted_tokens():
    check_scope((), "GET", "/brand-new")
    for path in ("/brand-new", "/searching", "/adminx", "//admin"):
        with pytest.raises(Forbidden, match="without restriction"):
            check_scope(("read", "compute", "harvest", "admin"), "GET", path)
