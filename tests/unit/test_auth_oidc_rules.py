"""What is believed of a signed token, and how its issuer's keys are kept, over real sockets."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth import InvalidCredentials, Issuer, IssuerUnavailable, OidcAuthenticator
from gateway.auth.claims import read_signed
from gateway.auth.issuer import DISCOVERY, REFETCH_SECONDS, RETRY_SECONDS
from gateway.auth.oidc import REMEMBERED
from gateway.auth.signing_keys import read_keys
from gateway.settings import AuthSettings, IssuerSettings

NOW = 1_700_000_000.0
RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)


def jwk_of(key, kid="k", **more):
    maker = {"RSA": jwt.algorithms.RSAAlgorithm, "EC": jwt.algorithms.ECAlgorithm, "OKP": jwt.algorithms.OKPAlgorithm}
    name = "RSA" if hasattr(key, "decrypt") else "EC" if hasattr(key, "curve") else "OKP"
    return {**json.loads(maker[name].to_jwk(key.public_key())), "kid": kid, **more}


class Clock:
    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now


class Provider:
    """A provider that says what a test wants it to say, and counts how often it is asked."""

    def __init__(self):
        self.keys = [jwk_of(RSA)]
        self.asked = 0
        self.status = 200
        self.metadata = {}
        self.url = ""

    async def discovery(self, request):
        told = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.metadata}
        return web.json_response(told, status=self.status)

    async def jwks(self, request):
        self.asked += 1
        return web.json_response({"keys": self.keys}, status=self.status)


class Scene:
    """An authenticator, its provider, and both clocks."""

    def __init__(self, provider, issuer, authenticator, wall, monotonic):
        self.provider, self.issuer, self.authenticator = provider, issuer, authenticator
        self.wall, self.monotonic = wall, monotonic

    def token(self, key=RSA, algorithm="RS256", header=None, drop=(), **claims):
        given = {"iss": self.provider.url, "aud": "lake", "sub": "alice", "exp": NOW + 300, "iat": NOW, **claims}
        given = {name: value for name, value in given.items() if name not in drop}
        named = {"kid": "k", **(header or {})}
        return jwt.encode(given, key, algorithm, headers={name: each for name, each in named.items() if each != ""})

    async def identify(self, token):
        return await self.authenticator.identify(token)

    async def refused(self, token):
        with pytest.raises(InvalidCredentials) as caught:
            await self.identify(token)
        return str(caught.value)


@asynccontextmanager
async def scene(**changes):
    provider = Provider()
    app = web.Application()
    app.router.add_get(DISCOVERY, provider.discovery)
    app.router.add_get("/keys", provider.jwks)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        provider.url = str(server.make_url("")).rstrip("/")
        wall, monotonic = Clock(), Clock(1_000.0)
        chosen = IssuerSettings(**{"name": "idp", "issuer": provider.url, "audiences": ("lake",), **changes})
        issuer = Issuer(settings=chosen, session=session, clock=monotonic)
        yield Scene(provider, issuer, OidcAuthenticator([issuer], clock=wall), wall, monotonic)


async def test_a_good_token_tells_the_user_until_it_ends():
    async with scene() as at:
        token = at.token(groups=["/eo/coast", "no//path", "~x", 3])
        identity = await at.identify(token)
        assert (identity.user, identity.groups, identity.expires_at) == ("alice", ("eo/coast",), NOW + 300)
        at.wall.now += 329
        assert await at.identify(token) == identity
        at.wall.now += 1
        assert "has expired" in await at.refused(token)


async def test_what_is_no_token_of_ours_is_left_to_others():
    async with scene() as at:
        foreign = jwt.encode({"iss": "https://other.example", "sub": "x"}, RSA, "RS256")
        for text in ("", "lg_abc", "a.b.c", "....", "a.b", foreign, "é.é.é"):
            assert await at.identify(text) is None
        assert at.provider.asked == 0


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": NOW - 31}, "has expired"),
        ({"exp": "soon"}, "no time"),
        ({"exp": True}, "no time"),
        ({"drop": ("exp",)}, "no expiry"),
        ({"nbf": NOW + 31}, "not valid yet"),
        ({"iat": NOW + 31}, "not valid yet"),
        ({"nbf": [1]}, "no time"),
        ({"aud": "other"}, "another audience"),
        ({"aud": ["other", "lakes"]}, "another audience"),
        ({"aud": {"lake": 1}}, "another audience"),
        ({"drop": ("aud",)}, "another audience"),
        ({"azp": "evil"}, "not served here"),
        ({"client_id": "evil"}, "not served here"),
        ({"typ": "Refresh", "azp": "web"}, "not an access token"),
        ({"typ": "ID", "azp": "web"}, "not an access token"),
        ({"nonce": "n", "azp": "web"}, "not an access token"),
        ({"at_hash": "h", "azp": "web"}, "not an access token"),
        ({"drop": ("sub",), "azp": "web"}, "names no user"),
        ({"sub": "", "azp": "web"}, "names no user"),
        ({"sub": 7, "azp": "web"}, "names no user"),
        ({"sub": "a\nb", "azp": "web"}, "names no user"),
        ({"sub": "x" * 300, "azp": "web"}, "names no user"),
    ],
)
async def test_claims_that_are_not_right_are_refused_and_named(claims, said):
    async with scene(clients=("web",)) as at:
        assert said in await at.refused(at.token(**claims))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "id+jwt"},
        {"typ": "logout+jwt"},
        {"typ": 3},
        {"crit": ["b64"], "b64": True},
        {"crit": ["exp"]},
        {"kid": "k" * 300},
        {"kid": "another"},
    ],
)
async def test_headers_that_are_not_right_are_refused(header):
    async with scene() as at:
        header = dict(header)
        token = at.token()
        _, payload, _ = token.split(".")
        head = written({"alg": "RS256", "kid": "k", **header})
        signature = RSA.sign(f"{head}.{payload}".encode(), *_pkcs())
        await at.refused(f"{head}.{payload}.{b64(signature)}")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
async def test_access_tokens_of_each_type_are_believed(typ):
    async with scene() as at:
        assert (await at.identify(at.token(header={"typ": typ}))).user == "alice"


async def test_each_algorithm_needs_its_own_kind_of_key():
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    everything = ("RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA")
    async with scene(algorithms=everything) as at:
        at.provider.keys = [
            jwk_of(RSA, "r"),
            jwk_of(curve, "e"),
            jwk_of(edwards, "o"),
            jwk_of(OTHER, "ps", alg="PS256"),
        ]
        pairs = [(RSA, "RS256", "r"), (RSA, "PS256", "r"), (curve, "ES256", "e"), (edwards, "EdDSA", "o")]
        for key, algorithm, kid in [*pairs, (OTHER, "PS256", "ps")]:
            assert (await at.identify(at.token(key, algorithm, {"kid": kid}))).user == "alice"
        for key, algorithm, kid in [(RSA, "RS256", "e"), (curve, "ES256", "r"), (OTHER, "RS256", "ps")]:
            await at.refused(at.token(key, algorithm, {"kid": kid}))


async def test_an_algorithm_that_the_operator_did_not_name_is_refused():
    async with scene(algorithms=("ES256",)) as at:
        assert "`alg` must be one of ES256" in await at.refused(at.token())


async def test_a_token_without_a_key_id_is_believed_only_where_one_key_can_have_signed_it():
    async with scene() as at:
        token = at.token(header={"kid": ""})
        assert (await at.identify(token)).user == "alice"
        at.provider.keys.append(jwk_of(OTHER, "k2"))
        at.monotonic.now += 700
        assert "does not publish" in await at.refused(at.token(header={"kid": ""}, jti="2"))


def test_keys_that_cannot_be_trusted_are_left_out():
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to see it refused
    good = jwk_of(RSA)
    useless = [
        jwk_of(weak, "weak"),
        jwk_of(RSA, "enc", use="enc"),
        jwk_of(RSA, "ops", key_ops=["encrypt"]),
        jwk_of(RSA, "oaep", alg="RSA-OAEP"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {"kty": "RSA", "kid": "broken", "n": "!!", "e": "AQAB"},
        {"kty": "EC", "kid": "curve", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA", "kid": 3, "n": good["n"], "e": good["e"]},
        {},
    ]
    keys = read_keys(json.dumps({"keys": [*useless, good]}).encode())
    assert [key.kid for key in keys._keys] == ["k"]
    for wrong in (b"", b"[]", b'{"keys": 3}', b'{"keys": []}', json.dumps({"keys": useless}).encode()):
        with pytest.raises(ValueError, match=r"JWK Set|no key"):
            read_keys(wrong)


async def test_unknown_keys_make_us_ask_once_a_minute_and_then_find_the_new_one():
    async with scene() as at:
        await at.identify(at.token())
        assert at.provider.asked == 1
        for n in range(1000):
            await at.refused(unknown(at, n))
        assert at.provider.asked == 2
        at.provider.keys.append(jwk_of(OTHER, "new"))
        await at.refused(at.token(OTHER, header={"kid": "new"}))
        at.monotonic.now += REFETCH_SECONDS
        assert (await at.identify(at.token(OTHER, header={"kid": "new"}))).user == "alice"
        assert at.provider.asked == 3


def unknown(at, n):
    return f"{written({'alg': 'RS256', 'kid': f'x{n}'})}.{written({'iss': at.provider.url})}.AAAA"


async def test_a_key_that_is_gone_ends_tokens_that_were_verified():
    async with scene() as at:
        token = at.token()
        assert await at.identify(token)
        at.provider.keys = [jwk_of(OTHER, "k2")]
        at.monotonic.now += 700
        assert await at.identify(at.token(OTHER, header={"kid": "k2"}))
        assert "does not publish" in await at.refused(token)


async def test_known_keys_count_for_a_while_when_the_provider_is_away_and_then_nothing_does():
    async with scene(stale_seconds=3600.0) as at:
        token = at.token(exp=NOW + 1e6)
        assert await at.identify(token)
        at.provider.status = 500
        at.monotonic.now += 3000
        assert await at.identify(token)
        assert await at.identify(at.token(exp=NOW + 1e6, jti="2"))
        at.monotonic.now += 1000
        with pytest.raises(IssuerUnavailable):
            await at.identify(token)
        asked = at.provider.asked
        with pytest.raises(IssuerUnavailable):
            await at.identify(token)
        assert at.provider.asked == asked, "a provider that is away is left alone for a while"
        at.provider.status = 200
        at.monotonic.now += RETRY_SECONDS
        assert await at.identify(token)


async def test_many_that_come_at_once_ask_the_provider_once():
    async with scene() as at:
        tokens = [at.token(jti=str(n)) for n in range(20)]
        assert all(await asyncio.gather(*(at.identify(token) for token in tokens)))
        assert at.provider.asked == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example"},
        {"jwks_uri": "ftp://keys.example/"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": ""},
        {"jwks_uri": 3},
        {"token_endpoint": "javascript:alert(1)"},
    ],
)
async def test_a_discovery_document_that_leads_astray_is_not_followed(metadata):
    async with scene() as at:
        at.provider.metadata = metadata
        with pytest.raises(IssuerUnavailable):
            await at.identify(at.token())


async def test_groups_come_from_where_the_operator_says():
    choices = {
        "groups_claim": "realm_access.roles",
        "group_prefix": "root/destine",
        "group_map": {"DPAD_Direct_Access": "root/twins", "bad": "no//path"},
        "groups": ("root/destine", "root/twins"),
        "charging_group": "root/destine",
        "admin_groups": ("root/destine/ops",),
        "user_claim": "preferred_username",
        "user_prefix": "destine:",
    }
    claims = {"preferred_username": "ann", "realm_access": {"roles": ["DPAD_Direct_Access", "ops", "bad", 3, "ops"]}}
    async with scene(**choices) as at:
        identity = await at.identify(at.token(**claims))
        assert identity.user == "destine:ann"
        assert identity.groups == ("root/twins", "root/destine/ops", "root/destine")
        assert (identity.charging_group, identity.admin) == ("root/destine", True)
    async with scene(**choices, only_mapped=True) as at:
        identity = await at.identify(at.token(**claims))
        assert (identity.groups, identity.admin) == (("root/twins", "root/destine"), False)


async def test_a_claim_whose_name_has_dots_is_found_by_its_whole_name():
    async with scene(groups_claim="https://lake.example/groups") as at:
        assert (await at.identify(at.token(**{"https://lake.example/groups": "eo"}))).groups == ("eo",)


async def test_scopes_restrict_a_token_where_the_operator_maps_them():
    async with scene(scope_map={"lake-compute": "compute", "lake-read": "read"}) as at:
        assert (await at.identify(at.token(scope="openid lake-compute"))).scopes == ("compute",)
        assert (await at.identify(at.token(scp=["lake-read"]))).scopes == ("read",)
        assert (await at.identify(at.token(scope="openid"))).scopes == ("read",)
    async with scene() as at:
        assert (await at.identify(at.token(scope="openid"))).scopes == ()


async def test_no_issuer_can_name_the_users_of_another():
    async with scene(name="plain") as at, scene(name="destine", user_prefix="destine:") as other:
        both = OidcAuthenticator([at.issuer, other.issuer], clock=at.wall)
        assert (await both.identify(other.token())).user == "destine:alice"
        assert (await both.identify(at.token())).user == "alice"
        with pytest.raises(InvalidCredentials, match="another identity provider"):
            await both.identify(at.token(sub="destine:alice"))


def test_settings_that_would_mix_users_or_believe_anything_are_refused():
    given = {"name": "a", "issuer": "https://a.example", "audiences": ("lake",)}
    one = IssuerSettings(**given)
    with pytest.raises(ValueError, match="user_prefix"):
        AuthSettings(issuers=(one, IssuerSettings(**{**given, "name": "b", "issuer": "https://b.example"})))
    with pytest.raises(ValueError, match="same issuer"):
        AuthSettings(issuers=(one, IssuerSettings(**{**given, "name": "b", "user_prefix": "b"})))
    wrong = [
        {"audiences": ()},
        {"audiences": ("",)},
        {"issuer": "a.example"},
        {"name": "a b"},
        {"leeway_seconds": 61.0},
    ]
    for each in wrong:
        with pytest.raises(ValueError, match="issuer"):
            IssuerSettings(**{**given, **each})


async def test_what_is_remembered_is_bounded():
    async with scene() as at:
        token = at.token()
        identity = await at.identify(token)
        known = next(iter(at.authenticator._known.values()))
        for n in range(REMEMBERED + 10):
            at.authenticator._remember(n.to_bytes(4), known)
        assert len(at.authenticator._known) == REMEMBERED
        assert await at.identify(token) == identity


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"[\w-]{0,30}\.[\w-]{0,30}\.[\w-]{0,30}", fullmatch=True))
def test_no_text_makes_the_reading_of_tokens_fail(text):
    read_signed(text)


def test_deeply_nested_tokens_are_no_tokens():
    deep = base64.urlsafe_b64encode(b'{"a":' * 3000 + b"1" + b"}" * 3000).rstrip(b"=").decode()
    assert read_signed(f"{written({'alg': 'RS256'})}.{deep}.AAAA") is None


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def written(value):
    return b64(json.dumps(value).encode())


def _pkcs():
    return padding.PKCS1v15(), hashes.SHA256()
