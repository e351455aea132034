"""Names the holders in refusals, at whatever face they are told."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.principal import PRINCIPAL, Principal
from gateway.quota.holders import Leases, with_holders
from quotas.errors import QuotaExceeded


def holders_middleware(ledger: Leases) -> Middleware:
    """Return a middleware that lets refusals of whatever face name who holds; it stands within the authentication."""

    @web.middleware
    async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except QuotaExceeded as error:
            principal: Principal | None = request.get(PRINCIPAL)
            if principal is None:
                raise
            raise QuotaExceeded(await with_holders(error.refusal, principal, ledger)) from error

    return told
