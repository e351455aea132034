"""Users' own tokens: a part of what they may themselves, for a time, and made only by who has signed in."""

from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edges.settings import Secret
from gateway.auth import Identity, OwnTokensFace, SessionCookies, TokenAuthenticator, auth_middleware, principal_for
from gateway.middleware import problems_middleware
from gateway.principal import principal_of
from gateway.settings import ApiTokenSettings, AuthSettings

DAY = 86_400


async def who(request):
    principal = principal_of(request)
    return web.json_response([principal.user, list(principal.groups), principal.charging_group, principal.admin])


class Client:
    def __init__(self, url, session, authenticator, cookies):
        self.url, self.session, self.authenticator, self.cookies = url, session, authenticator, cookies

    async def ask(self, method, path, secret, **rest):
        headers = {"Authorization": f"Bearer {secret}"}
        async with self.session.request(method, self.url + path, headers=headers, **rest) as response:
            return response.status, await response.json() if response.content_type.endswith("json") else None

    async def make(self, by="boss-secret", **body):
        return await self.ask("POST", "/auth/tokens", by, json={"expires_in": DAY, **body})

    async def make_in_browser(self, identity, **body):
        """Sign in as an identity provider would have it, and make a token with the session's cookie."""
        via = await self.authenticator.begin_session(identity, seconds=600)
        response = web.Response()
        self.cookies.set(response, principal_for(identity, None), via=via)
        ((name, morsel),) = response.cookies.items()
        cookies = {name: morsel.value}
        async with self.session.post(
            self.url + "/auth/tokens", json={"expires_in": DAY, **body}, cookies=cookies
        ) as answer:
            return answer.status, await answer.json()


@pytest.fixture
def opened(tmp_path):
    @asynccontextmanager
    async def opening(most_days=90.0):
        (tmp_path / "boss").write_text("boss-secret")
        boss = ApiTokenSettings(
            user="boss",
            token=Secret(file=str(tmp_path / "boss")),
            groups=("root/eo", "root/ops"),
            charging_group="root/ops",
            admin=True,
        )
        settings = AuthSettings(tokens=(boss,))
        authenticator = TokenAuthenticator(settings, state=tmp_path)
        cookies = SessionCookies(b"k" * 32, secure=False)
        gate = auth_middleware([authenticator], settings=settings, cookies=cookies)
        app = web.Application(middlewares=[problems_middleware, gate])
        app.add_routes(OwnTokensFace(authenticator=authenticator, most_days=most_days).routes())
        app.add_routes([web.route("*", "/search", who), web.route("*", "/api/v1/clusters", who)])
        async with authenticator.running(), TestServer(app) as server, aiohttp.ClientSession() as session:
            yield Client(str(server.make_url("")).rstrip("/"), session, authenticator, cookies)

    return opening


async def test_a_users_own_token_is_the_user_without_administration(opened):
    async with opened() as client:
        status, made = await client.make(note="laptop")
        assert status == 201
        assert made["expires_at"] - made["created_at"] == pytest.approx(DAY)
        seen = await client.ask("GET", "/search", made["token"])
        assert seen == (200, ["boss", ["root/eo", "root/ops"], "root/ops", False])


async def test_an_own_token_can_be_restricted_to_scopes_and_groups(opened):
    async with opened() as client:
        _, made = await client.make(scopes=["read"], groups=["root/eo"])
        assert await client.ask("GET", "/search", made["token"]) == (200, ["boss", ["root/eo"], "root/eo", False])
        status, told = await client.ask("POST", "/api/v1/clusters", made["token"], json={})
        assert status == 403
        assert "compute" in told["detail"]


async def test_an_own_token_is_never_good_for_more_than_its_maker(opened):
    carol = Identity(user="carol", groups=("root/eo",), scopes=("read",), via="oidc:x:1")
    async with opened() as client:
        assert (await client.make_in_browser(carol, groups=["root/ops"]))[0] == 403
        assert (await client.make_in_browser(carol, scopes=["compute"]))[0] == 403
        status, made = await client.make_in_browser(carol)
        assert (status, made["scopes"], made["groups"]) == (201, ["read"], ["root/eo"])
        assert (await client.make(scopes=["admin"]))[0] == 403
        assert (await client.make(groups=["root/eo"], charging_group="root/ops"))[0] == 400


@pytest.mark.parametrize(
    "body", [{"expires_in": 0}, {"expires_in": 91 * DAY}, {"note": "x" * 300}, {"admin": True}, {"expires_in": "day"}]
)
async def test_what_a_token_cannot_be_is_refused_by_name(opened, body):
    async with opened() as client:
        status, told = await client.make(**body)
        assert status == 400
        assert next(iter(body)) in told["detail"]


async def test_an_issued_token_makes_no_further_ones_and_ends_none_but_itself(opened):
    async with opened() as client:
        _, made = await client.make()
        _, other = await client.make()
        assert (await client.make(made["token"]))[0] == 403
        assert (await client.ask("DELETE", f"/auth/tokens/{other['id']}", made["token"]))[0] == 403
        assert (await client.ask("DELETE", f"/auth/tokens/{made['id']}", made["token"]))[0] == 204
        assert (await client.ask("GET", "/search", made["token"]))[0] == 401


async def test_users_see_and_revoke_their_own_tokens_only(opened):
    carol = Identity(user="carol", groups=("root/eo",), via="oidc:x:1")
    async with opened() as client:
        _, mine = await client.make(note="mine")
        _, hers = await client.make_in_browser(carol)
        _, listed = await client.ask("GET", "/auth/tokens", "boss-secret")
        assert [(each["id"], each["note"], "token" in each) for each in listed["tokens"]] == [
            (mine["id"], "mine", False)
        ]
        assert (await client.ask("DELETE", f"/auth/tokens/{hers['id']}", "boss-secret"))[0] == 404
        assert (await client.ask("DELETE", f"/auth/tokens/{mine['id']}", "boss-secret"))[0] == 204
        assert (await client.ask("GET", "/search", mine["token"]))[0] == 401
        assert (await client.ask("GET", "/search", hers["token"]))[0] == 200


async def test_an_operator_can_forbid_own_tokens(opened):
    async with opened(most_days=0.0) as client:
        assert (await client.make())[0] == 403


async def test_the_anonymous_user_makes_no_tokens(opened):
    async with opened() as client, client.session.post(client.url + "/auth/tokens", json={}) as answer:
        assert answer.status == 401
