"""Tokens for kernels: a cell can ask the gateway for clusters as its user, and for no longer than the kernel lives."""

from gateway.auth import TokenAuthenticator, TokenGrant
from gateway.principal import Principal

LOGIN_SECONDS = 7 * 24 * 3600.0
"""The longest that a kernel's token works, should nobody revoke it."""


class IssuedKernelLogins:
    """Issues tokens of the gateway's own. Implements :class:`gateway.kernels.seam.KernelCredentials`."""

    def __init__(self, *, authenticator: TokenAuthenticator) -> None:
        self._authenticator = authenticator

    async def issue(self, principal: Principal, *, purpose: str) -> str:
        """Return a token that acts as the principal, without the rights of an administrator."""
        grant = TokenGrant(
            user=principal.user,
            groups=principal.groups,
            charging_group=principal.charging_group,
            note=purpose,
        )
        secret, _ = await self._authenticator.create(grant, seconds=LOGIN_SECONDS)
        return secret

    async def revoke(self, *, purpose: str) -> None:
        """End the tokens of that purpose. Idempotent."""
        for token in await self._authenticator.issued():
            if token.grant.note == purpose and token.revoked_at is None:
                await self._authenticator.revoke(token.id)
