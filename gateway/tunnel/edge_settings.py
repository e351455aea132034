"""The file of ``lakegate site tunnel``: where the gateway is, and which of the edge's services it may reach."""

from collections.abc import Mapping

from edges.model import Frozen
from edges.settings import Secret


class EdgeTunnelSettings(Frozen):
    """``gateways`` are the URLs of the gateway, of each of its replicas where there are several; ``edge`` our id there.

    ``secret`` proves us. ``services`` are what can be reached through the tunnel and nothing else (name: host:port).
    ``waiting`` connections wait at each gateway; ``most`` are open at once. ``ca_file`` (PEM) is who vouches for the
    gateways' certificates, by default the system's.
    """

    gateways: tuple[str, ...]
    edge: str
    secret: Secret
    services: Mapping[str, str]
    waiting: int = 8
    most: int = 1024
    ca_file: str = ""

    def __post_init__(self) -> None:
        if not self.gateways or not all(url.startswith(("http://", "https://")) for url in self.gateways):
            raise ValueError(f"gateways must be http(s) URLs, got {', '.join(self.gateways) or 'none'}")
        if not self.services:
            raise ValueError("services must name what the gateway may reach (dask: 127.0.0.1:8000)")
        for name, address in self.services.items():
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
                raise ValueError(f"services.{name}: {address!r} is no host:port")
        if not 0 < self.waiting <= 64 or self.most <= self.waiting:
            raise ValueError("waiting must be within 1 and 64, and less than most")

    def address(self, service: str) -> tuple[str, int] | None:
        """Return host and port of a service; None where the gateway may not reach one of that name."""
        host, _, port = self.services.get(service, "").rpartition(":")
        return (host.strip("[]"), int(port)) if host else None
