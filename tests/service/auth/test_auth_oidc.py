"""Tokens of a real OpenID Connect server, before a whole gateway over real sockets."""

import asyncio
import base64
import hmac
import json
import re

import aiohttp
import jwt
import pytest
from browser import Browser
from conftest import issuer_settings, settings_of
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from free_ports import free_port
from oidc_server import provider_at

from gateway.app import running_gateway

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"


def parts_of(token):
    header, payload, signature = token.split(".")
    return read(header), read(payload), signature


def read(part):
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def written(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(token, header=None, **claims):
    """Change a real token, and leave its signature."""
    old_header, payload, signature = parts_of(token)
    return f"{written({**old_header, **(header or {})})}.{written({**payload, **claims})}.{signature}"


async def test_a_password_grant_tells_the_user_and_the_groups(scene):
    status, body = await scene.who(await scene.provider.password("alice"))
    assert (status, body["user"], body["groups"]) == (200, "alice", ["root/coast", "root/operators"])
    assert (body["charging_group"], body["admin"]) == ("root/coast", True)
    assert (await scene.who(await scene.provider.password("bob")))[1]["admin"] is False


async def test_client_credentials_tell_a_machine(scene):
    status, body = await scene.who(await scene.provider.client_credentials())
    assert (status, body["user"], body["groups"]) == (200, "robot", ["root/machines"])


async def test_an_exchanged_token_tells_the_user_of_the_outer_realm(scene):
    outer = f"{written({'alg': 'RS256'})}.{written({'sub': 'bob'})}.x"
    form = {"subject_token": outer, "subject_issuer": "desp-oidc", "client_id": "cli", "audience": "urn:lakegate"}
    kind = "urn:ietf:params:oauth:token-type:access_token"
    answer = await scene.provider.post("/token", grant_type=EXCHANGE_GRANT, subject_token_type=kind, **form)
    assert (await scene.who(answer["access_token"]))[1]["user"] == "bob"


async def test_a_device_signs_in(scene):
    provider = scene.provider
    begun = await provider.post("/device/auth", client_id="cli", scope="openid groups")
    status, _, text = await Browser(provider.session).open(begun["verification_uri_complete"])
    assert status == 200, text
    form = {"client_id": "cli", "device_code": begun["device_code"]}
    answer = await provider.post("/token", grant_type=DEVICE_GRANT, **form)
    assert (await scene.who(answer["access_token"]))[1]["user"] == "alice"


@pytest.mark.parametrize("scheme", ["Bearer", "token", "jupyterhub", "Basic"])
async def test_each_form_that_clients_send_carries_it(scene, scheme):
    token = await scene.provider.password("bob")
    if scheme == "Basic":
        token = base64.b64encode(f"bob:{token}".encode()).decode()
    assert (await scene.who(token, scheme))[0] == 200


async def test_a_changed_token_is_refused(scene):
    token = await scene.provider.password("bob")
    assert (await scene.who(token))[0] == 200
    header, _, signature = token.split(".")
    other = "A" if signature[10] != "A" else "B"
    for forged in (
        unsigned(token, sub="alice"),
        unsigned(token, groups=["operators"]),
        unsigned(token, exp=2_000_000_000),
        token[: -len(signature)] + signature[:10] + other + signature[11:],
        token[: -len(signature)],
        f"{header}.{header}.{signature}",
    ):
        status, body = await scene.who(forged)
        assert (status, body["title"]) == (401, "Invalid credentials"), forged


async def test_no_signature_and_our_public_key_as_a_shared_secret_are_refused(scene):
    token = await scene.provider.password("alice")
    _, claims, _ = parts_of(token)
    async with scene.provider.session.get(scene.provider.url + "/jwks") as response:
        jwk = (await response.json())["keys"][0]
    public = jwt.PyJWK.from_dict(jwk).key
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), json.dumps(jwk).encode(), jwk["n"].encode()):
        signed = f"{written({'alg': 'HS256', 'kid': jwk['kid']})}.{written(claims)}"
        mac = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
        assert (await scene.who(f"{signed}.{mac}"))[0] == 401
    for name in ("none", "None", "NONE", "HS256", "RS1", ""):
        assert (await scene.who(unsigned(token, {"alg": name})))[0] == 401
    bare = token.rpartition(".")[0]
    assert (await scene.who(f"{written({'alg': 'none'})}.{bare.partition('.')[2]}."))[0] == 401


async def test_another_key_is_refused_whatever_the_header_says_of_it(scene):
    token = await scene.provider.password("alice")
    header, claims, _ = parts_of(token)
    key = rsa.generate_private_key(65537, 2048)
    own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    evil = f"http://127.0.0.1:{free_port()}/keys"
    for extra in ({}, {"jwk": own}, {"jku": evil}, {"x5u": evil}, {"kid": "../../etc/passwd"}, {"kid": "' OR 1=1"}):
        forged = jwt.encode(claims, key, "RS256", headers={"kid": header["kid"], **extra})
        assert (await scene.who(forged))[0] == 401, extra


async def test_keys_that_nobody_knows_do_not_make_us_a_flood(fresh_scene):
    scene = fresh_scene
    token = await scene.provider.password("alice")
    assert (await scene.who(token))[0] == 200
    before = await scene.provider.fetches()
    answers = await asyncio.gather(*(scene.who(unsigned(token, {"kid": f"made-up-{n}"})) for n in range(100)))
    assert {status for status, _ in answers} == {401}
    assert await scene.provider.fetches() - before <= 1


async def test_a_new_key_is_found_and_a_key_that_is_gone_ends_its_tokens(fresh_scene):
    scene = fresh_scene
    old = await scene.provider.password("alice")
    assert (await scene.who(old))[0] == 200
    await scene.provider.rotate(drop=True)
    assert (await scene.who(await scene.provider.password("bob")))[0] == 200
    status, body = await scene.who(old)
    assert (status, "does not publish its key" in body["detail"]) == (401, True)


async def test_a_token_for_others_is_refused(modules, tmp_path):
    port, own = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    refusals = {
        "another audience": {"audiences": ("urn:other",)},
        "client that is not served": {"clients": ("web",)},
        "`alg` must be": {"algorithms": ("ES256",)},
        "names no user": {"user_claim": "preferred_username"},
    }
    async with provider_at(port, modules, f"http://127.0.0.1:{own}") as provider:
        token = await provider.password("alice")
        for said, changes in refusals.items():
            settings = settings_of(own, tmp_path / "state", issuer_settings(url, **changes))
            async with running_gateway(settings) as gateway, aiohttp.ClientSession() as session:
                headers = {"Authorization": f"Bearer {token}"}
                async with session.get(gateway + "/auth/me", headers=headers) as response:
                    assert response.status == 401
                    assert said in (await response.json(content_type=None))["detail"]


async def test_a_provider_that_is_down_keeps_nobody_from_starting_and_is_found_when_it_is_there(modules, tmp_path):
    port, own = free_port(), free_port()
    token = jwt.encode({"iss": f"http://127.0.0.1:{port}"}, rsa.generate_private_key(65537, 2048), "RS256")
    settings = settings_of(own, tmp_path / "state", issuer_settings(f"http://127.0.0.1:{port}"))
    async with running_gateway(settings) as url, aiohttp.ClientSession() as session:

        async def who(token):
            async with session.get(url + "/auth/me", headers={"Authorization": f"Bearer {token}"}) as response:
                return response.status, await response.text()

        status, text = await who(token)
        assert (status, "127.0.0.1" in text) == (503, False)
        assert (await who(""))[0] == 401
        async with session.get(url + "/conformance") as response:
            assert response.status == 200
        async with provider_at(port, modules, url) as provider:
            good = await provider.password("alice")
            async with asyncio.timeout(30):
                while (await who(good))[0] == 503:  # noqa: ASYNC110 - what is waited for is behind a socket
                    await asyncio.sleep(0.1)
            assert (await who(good))[0] == 200
            assert (await who(token))[0] == 401
        assert (await who(good))[0] == 200, "keys that are known count while the provider is away"


async def test_a_browser_signs_in_and_out(scene):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        browser = Browser(session)
        status, address, text = await browser.open(scene.url + "/auth/login?next=/auth/me")
        assert (status, address) == (200, scene.url + "/auth/me"), text
        assert json.loads(text)["user"] == "alice"
        assert json.loads(text)["groups"] == ["root/coast", "root/operators"]
        cookies = {cookie.key: cookie for cookie in session.cookie_jar}
        assert cookies["lakegate_session"]["httponly"]
        kept = cookies["lakegate_session"].value
        headers = {"Origin": scene.url}
        async with session.post(scene.url + "/auth/logout", headers=headers, allow_redirects=False) as response:
            assert response.status == 303
            assert response.headers["Location"].startswith(scene.provider.url + "/session/end?client_id=web")
        stolen = {"Cookie": f"lakegate_session={kept}"}
        async with aiohttp.ClientSession() as thief, thief.get(scene.url + "/auth/me", headers=stolen) as response:
            assert response.status == 401


async def test_a_page_signs_in_by_an_access_token_and_a_signed_out_session_is_over(scene):
    token = await scene.provider.password("bob")
    origin = {"Origin": scene.url}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.post(scene.url + "/auth/session", json={"token": token}) as response:
            assert response.status == 200
        kept = next(iter(session.cookie_jar)).value
        async with session.get(scene.url + "/auth/me") as response:
            assert (await response.json())["user"] == "bob"
        async with session.delete(scene.url + "/auth/session", headers=origin) as response:
            assert response.status == 204
    stolen = {"Cookie": f"lakegate_session={kept}"}
    async with aiohttp.ClientSession() as thief, thief.get(scene.url + "/auth/me", headers=stolen) as response:
        assert response.status == 401
    assert (await scene.who(token))[0] == 200


async def test_no_token_or_secret_stands_in_the_log(scene, caplog):
    caplog.set_level("DEBUG")
    token = await scene.provider.password("bob")
    await scene.who(token)
    await scene.who(unsigned(token, sub="alice"))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        await Browser(session).open(scene.url + "/auth/login")
    ours = [str(vars(record)) for record in caplog.records if record.name.startswith(("gateway", "edges", "aiohttp"))]
    for secret in (token, token.rpartition(".")[2], "web secret+/", "code="):
        assert not [line for line in ours if secret in line]


async def test_the_answer_to_another_sign_in_is_refused(scene):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(scene.url + "/auth/login/real", allow_redirects=False) as response:
            state = re.search(r"state=([\w-]+)", response.headers["Location"])
            assert state is not None
        good = {"state": state[1], "code": "made-up"}
        for query in ({}, {"state": "x", "code": "c"}, {**good, "iss": "http://evil.example"}, good):
            async with session.get(scene.url + "/auth/callback/real", params=query) as response:
                assert response.status == 401
    async with aiohttp.ClientSession() as other, other.get(scene.url + "/auth/callback/real", params=good) as response:
        assert response.status == 401


async def test_a_sign_in_leads_to_no_foreign_page(scene):
    for evil in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            browser = Browser(session)
            _, address, _ = await browser.open(f"{scene.url}/auth/login/real?next={evil}")
            assert address == scene.url + "/"
