"""The middleware and the face for signing in, over a real socket."""

import base64
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edges.settings import Secret
from gateway.auth import AuthFace, SessionCookies, TokenAuthenticator, TokenGrant, auth_middleware
from gateway.middleware import problems_middleware
from gateway.principal import principal_of, user_of
from gateway.settings import ApiTokenSettings, AuthSettings


class Gateway:
    """A gateway that tells whom it sees."""

    def __init__(self, url, authenticator, session):
        self.url = url
        self.authenticator = authenticator
        self.session = session

    async def see(self, path="/who", method="GET", **options):
        async with self.session.request(method, self.url + path, **options) as response:
            body = await response.json() if response.content_type.endswith("json") else await response.text()
            return response.status, body, response.headers


async def who(request):
    principal = principal_of(request)
    return web.json_response([principal.user, principal.charging_group, principal.anonymous])


async def named(request):
    return web.json_response(user_of(request).user)


@pytest.fixture
def opened(tmp_path):
    @asynccontextmanager
    async def opening(anonymous="read"):
        (tmp_path / "admin").write_text("admin-secret")
        token = ApiTokenSettings(user="root", token=Secret(file=str(tmp_path / "admin")), groups=("ops",), admin=True)
        settings = AuthSettings(anonymous=anonymous, tokens=(token,))
        authenticator = TokenAuthenticator(settings, state=tmp_path)
        cookies = SessionCookies(b"k" * 32)
        gate = auth_middleware([authenticator], settings=settings, cookies=cookies, public_url="https://lake.example")
        app = web.Application(middlewares=[problems_middleware, gate])
        app.add_routes(AuthFace(authenticator=authenticator, cookies=cookies).routes())
        app.add_routes([web.route("*", "/who", who), web.get("/named", named), web.get("/api/kernels/1/channels", who)])
        async with authenticator.running(), TestServer(app) as server:
            jar = aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                yield Gateway(str(server.make_url("")).rstrip("/"), authenticator, session)

    return opening


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def issue(gateway, **grant):
    secret, issued = await gateway.authenticator.create(
        TokenGrant(**{"user": "alice", "groups": ("eo/coast", "eo/ice"), **grant})
    )
    return secret, issued


async def test_nobody_is_anonymous_where_that_is_allowed(opened):
    async with opened() as gateway:
        assert (await gateway.see())[:2] == (200, ["anonymous", "anonymous", True])
        status, body, headers = await gateway.see("/named")
        assert (status, body["title"]) == (401, "Authentication required")
        assert headers["Content-Type"].startswith("application/problem+json")
        assert [each.partition(" ")[0] for each in headers.getall("WWW-Authenticate")] == ["Basic", "Bearer"]


async def test_nobody_is_nobody_where_anonymous_access_is_off(opened):
    async with opened(anonymous="none") as gateway:
        assert (await gateway.see())[0] == 401


async def test_a_token_tells_the_user_in_every_way_that_clients_send_it(opened):
    async with opened() as gateway:
        secret, _ = await issue(gateway)
        basic = "Basic " + base64.b64encode(f"whoever:{secret}".encode()).decode()
        for header in (f"Bearer {secret}", f"token {secret}", f"jupyterhub {secret}", basic):
            assert (await gateway.see(headers={"Authorization": header}))[1] == ["alice", "eo/coast", False]
        assert (await gateway.see(headers={"X-API-Key": secret}))[1] == ["alice", "eo/coast", False]
        assert (await gateway.see(headers={"X-API-Key": "nope"}))[0] == 401
        assert (await gateway.see(f"/api/kernels/1/channels?token={secret}"))[1] == ["alice", "eo/coast", False]
        assert (await gateway.see(f"/who?token={secret}"))[1][0] == "anonymous"


async def test_invalid_credentials_are_never_anonymous(opened):
    async with opened() as gateway:
        for header in ("Bearer nope", "Negotiate x", "Basic nope"):
            status, body, headers = await gateway.see(headers={"Authorization": header})
            assert (status, body["title"]) == (401, "Invalid credentials")
            assert 'error="invalid_token"' in headers.getall("WWW-Authenticate")[-1]
        assert (await gateway.see("/api/kernels/1/channels?token=nope"))[0] == 401
        status, _, headers = await gateway.see(headers={"Cookie": "lakegate_session=nope"})
        assert status == 401
        assert "Max-Age=0" in headers["Set-Cookie"]


async def test_a_script_of_a_page_is_not_answered_with_a_dialogue(opened):
    async with opened() as gateway:
        _, _, headers = await gateway.see("/named", headers={"Sec-Fetch-Mode": "cors"})
        assert [each.partition(" ")[0] for each in headers.getall("WWW-Authenticate")] == ["Bearer"]


async def test_a_request_names_one_of_the_users_groups_to_pay(opened):
    async with opened() as gateway:
        secret, _ = await issue(gateway)
        named = {**bearer(secret), "X-Lakegate-Group": "eo/ice"}
        assert (await gateway.see(headers=named))[1] == ["alice", "eo/ice", False]
        assert (await gateway.see("/who?group=eo/ice", headers=bearer(secret)))[1] == ["alice", "eo/ice", False]
        status, body, _ = await gateway.see("/who?group=met", headers=bearer(secret))
        assert status == 403
        assert "alice is not in group 'met'; their groups: eo/coast, eo/ice" in body["detail"]


async def test_a_restricted_token_does_not_reach_further(opened):
    async with opened() as gateway:
        secret, _ = await issue(gateway, scopes=("read",))
        assert (await gateway.see("/auth/me", headers=bearer(secret)))[0] == 200
        assert (await gateway.see("/who", headers=bearer(secret)))[0] == 403
        status, body, _ = await gateway.see("/api/kernels/1/channels", headers=bearer(secret))
        assert (status, "compute" in body["detail"]) == (403, True)


async def test_a_browser_signs_in_and_out(opened):
    async with opened() as gateway:
        secret, _ = await issue(gateway)
        status, body, headers = await gateway.see("/auth/session", "POST", json={"token": secret})
        assert (status, body["user"]) == (200, "alice")
        cookie = headers["Set-Cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="))
        assert secret not in cookie
        assert (await gateway.see())[1] == ["alice", "eo/coast", False]
        assert (await gateway.see("/auth/me"))[1]["user"] == "alice"
        assert (await gateway.see("/auth/session", "DELETE"))[0] == 204
        assert (await gateway.see())[1][0] == "anonymous"


async def test_signing_in_needs_a_valid_token(opened):
    async with opened() as gateway:
        assert (await gateway.see("/auth/session", "POST", json={"token": "nope"}))[0] == 401
        assert (await gateway.see("/auth/session", "POST", json={"token": 1}))[0] == 400
        assert (await gateway.see("/auth/session", "POST", data=b"["))[0] == 400


async def test_a_session_ends_with_its_token(opened):
    async with opened() as gateway:
        secret, issued = await issue(gateway)
        await gateway.see("/auth/session", "POST", json={"token": secret})
        await gateway.authenticator.revoke(issued.id)
        assert (await gateway.see())[0] == 401


async def test_a_foreign_page_cannot_use_the_cookie(opened):
    async with opened() as gateway:
        secret, _ = await issue(gateway)
        await gateway.see("/auth/session", "POST", json={"token": secret})
        own = gateway.url
        allowed = [{}, {"Origin": own}, {"Origin": "https://lake.example"}, {"Sec-Fetch-Site": "same-origin"}]
        for headers in allowed:
            assert (await gateway.see(method="POST", headers=headers))[0] == 200
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await gateway.see(method="POST", headers=headers))[0] == 403
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
        assert (await gateway.see("/api/kernels/1/channels", headers=upgrade))[0] == 403
        assert (await gateway.see("/api/kernels/1/channels", headers={**upgrade, "Origin": own}))[0] == 200
        evil = {"Origin": "https://evil.example"}
        assert (await gateway.see(method="POST", headers={**evil, **bearer(secret)}))[0] == 200


async def test_an_admin_issues_lists_and_revokes_tokens(opened):
    async with opened() as gateway:
        root = bearer("admin-secret")
        wanted = {"user": "bob", "groups": ["eo"], "expires_in": 3600, "note": "ci"}
        status, made, headers = await gateway.see("/admin/tokens", "POST", headers=root, json=wanted)
        assert (status, headers["Cache-Control"]) == (201, "no-store")
        assert made["expires_at"] == pytest.approx(made["created_at"] + 3600)
        assert (await gateway.see(headers=bearer(made["token"])))[1] == ["bob", "eo", False]
        _, listed, _ = await gateway.see("/admin/tokens", headers=root)
        assert [(t["id"], t["user"], t["note"]) for t in listed["tokens"]] == [(made["id"], "bob", "ci")]
        assert "token" not in listed["tokens"][0]
        assert (await gateway.see(f"/admin/tokens/{made['id']}", "DELETE", headers=root))[0] == 204
        assert (await gateway.see(f"/admin/tokens/{made['id']}", "DELETE", headers=root))[0] == 404
        assert (await gateway.see(headers=bearer(made["token"])))[0] == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"user": ""},
        {"user": "a", "groups": ["x//y"]},
        {"user": "a", "expires_in": 0},
        {"user": "a", "scopes": ["all"]},
        {"user": "a", "colour": 1},
    ],
)
async def test_a_token_for_nobody_or_nonsense_is_refused(opened, wrong):
    async with opened() as gateway:
        status, body, _ = await gateway.see("/admin/tokens", "POST", headers=bearer("admin-secret"), json=wrong)
        assert (status, body["field"]) == (400, "body")


async def test_only_admins_see_tokens(opened):
    async with opened() as gateway:
        secret, _ = await issue(gateway)
        assert (await gateway.see("/admin/tokens", headers=bearer(secret)))[0] == 403
        assert (await gateway.see("/admin/tokens"))[0] == 401
