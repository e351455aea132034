"""Tokens of kernels, made by the gateway's own token store: restricted to reading and compute, ended with it."""

from gateway.auth.authenticator import TokenAuthenticator
from gateway.auth.tokens import TokenGrant
from gateway.principal import Principal


class IssuedKernelTokens:
    """A :class:`gateway.kernels.seam.KernelCredentials` of issued API tokens; the purpose is their note."""

    def __init__(self, *, authenticator: TokenAuthenticator) -> None:
        self._authenticator = authenticator

    async def issue(self, principal: Principal, *, purpose: str) -> str:
        """Return a token that acts as the principal, without an admin's rights."""
        grant = TokenGrant(
            user=principal.user,
            groups=principal.groups,
            charging_group=principal.charging_group if principal.charging_group in principal.groups else "",
            scopes=("read", "compute"),
            note=purpose,
            roles=principal.roles,
        )
        secret, _ = await self._authenticator.create(grant)
        return secret

    async def revoke(self, *, purpose: str) -> None:
        """End the tokens of that purpose."""
        for token in await self._authenticator.issued():
            if token.grant.note == purpose and token.revoked_at is None:
                await self._authenticator.revoke(token.id)
