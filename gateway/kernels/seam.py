"""What the Jupyter face asks of identity."""

from typing import Protocol

from gateway.principal import Principal


class KernelCredentials(Protocol):
    """Gives kernels a token of their own, so that a cell can ask the gateway for clusters as its user.

    Guarantees: a token acts as that principal and no more; it ends when it is revoked. ``revoke`` is idempotent.
    """

    async def issue(self, principal: Principal, *, purpose: str) -> str:
        """Return a token; ``purpose`` names it for :meth:`revoke`."""
        ...

    async def revoke(self, *, purpose: str) -> None:
        """End the token of that purpose."""
        ...
