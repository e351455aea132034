"""The two realms that clients of HDA sign in at: a thin front of a real OpenID Connect provider.

The outer realm has the login form that those clients fill in, and gives tokens without an audience, as theirs does.
The inner one is the provider itself: the front only gives its clients their other names, and checks the outer
realm's token before it is exchanged.
"""

import base64
import html
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from served_app import served

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class LoginRealm:
    """Serves both realms; ``provider`` is the address of the real provider."""

    def __init__(self, provider: str, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.exchanges = 0
        self._provider = provider
        self._session = session
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._codes: dict[str, str] = {}

    def routes(self) -> list[web.RouteDef]:
        desp = "/realms/desp"
        return [
            web.get(f"{desp}/.well-known/openid-configuration", self.configuration),
            web.get(f"{desp}/certs", self.keys),
            web.get(f"{desp}/protocol/openid-connect/auth", self.form),
            web.post(f"{desp}/login", self.login),
            web.post(f"{desp}/protocol/openid-connect/token", self.token),
            web.post("/auth/realms/dedl/protocol/openid-connect/token", self.inner_token),
        ]

    async def configuration(self, request: web.Request) -> web.Response:
        base = f"{self.url}/realms/desp"
        return web.json_response(
            {
                "issuer": base,
                "jwks_uri": f"{base}/certs",
                "authorization_endpoint": f"{base}/protocol/openid-connect/auth",
                "token_endpoint": f"{base}/protocol/openid-connect/token",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def keys(self, request: web.Request) -> web.Response:
        public: Any = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return web.json_response({"keys": [public | {"kid": "outer", "use": "sig", "alg": "RS256"}]})

    async def form(self, request: web.Request) -> web.Response:
        kept = {name: request.query[name] for name in ("redirect_uri", "state") if name in request.query}
        action = html.escape(f"{self.url}/realms/desp/login?{urlencode(kept)}")
        fields = '<input name="username"><input name="password">'
        page = f'<html><body><form id="kc-form-login" method="post" action="{action}">{fields}</form></body></html>'
        return web.Response(text=page, content_type="text/html")

    async def login(self, request: web.Request) -> web.Response:
        form = await request.post()
        user = str(form["username"])
        told = {"grant_type": "password", "client_id": "cli", "username": user, "password": str(form["password"])}
        async with self._session.post(f"{self._provider}/token", data=told) as answer:
            if answer.status != 200:
                text = '<html><span id="input-error">Invalid username or password.</span></html>'
                return web.Response(text=text, content_type="text/html")
        code = secrets.token_urlsafe()
        self._codes[code] = user
        kept = {"code": code} | ({"state": request.query["state"]} if "state" in request.query else {})
        raise web.HTTPFound(f"{request.query['redirect_uri']}?{urlencode(kept)}")

    async def token(self, request: web.Request) -> web.Response:
        user = self._codes.pop(str((await request.post())["code"]), None)
        if user is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": f"{self.url}/realms/desp", "sub": user, "iat": now, "exp": now + 300}
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "outer"})
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 300})

    async def inner_token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        headers = {}
        if form["grant_type"] == EXCHANGE:
            jwt.decode(form["subject_token"], self._key.public_key(), algorithms=["RS256"])
            assert (form["client_id"], form["audience"]) == ("hda-public", "hda-public")
            self.exchanges += 1
            form |= {"client_id": "cli"}
        elif form["grant_type"] == "client_credentials":
            pair = f"{form.pop('client_id')}:{form.pop('client_secret')}"
            headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
            form = {"grant_type": "client_credentials"}
        async with self._session.post(f"{self._provider}/token", data=form, headers=headers) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")


@asynccontextmanager
async def login_realm(provider: str, port: int) -> AsyncIterator[LoginRealm]:
    """Serve the realms on a port."""
    async with aiohttp.ClientSession() as session:
        realm = LoginRealm(provider, f"http://127.0.0.1:{port}", session)
        app = web.Application()
        app.add_routes(realm.routes())
        async with served(app, port=port):
            yield realm
