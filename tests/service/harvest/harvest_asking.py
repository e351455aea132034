"""Asking a face of the harvest: who asks is told by a header."""

from aiohttp import web

from gateway.principal import PRINCIPAL, Principal

BASE = "https://gate.example"
"""The address that the gateway believes to have."""


@web.middleware
async def by_header(request, handler):
    """Let the test say who asks: user:group, or nobody."""
    told = request.headers.get("X-Test-User")
    if told:
        user, group = told.split(":")
        admin = user == "root"
        request[PRINCIPAL] = Principal(user=user, groups=(group,), charging_group=group, admin=admin)
    return await handler(request)


async def call(client, method, path, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.request(method, path, json=body, headers=named) as response:
        return response.status, await response.json(), response.headers
