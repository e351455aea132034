"""Buckets and the keys to them, as processes that carry are told of them."""

from harvest.model import Value


class Bucket(Value, frozen=True):
    """A bucket and the keys to it, for as long as they are needed; so many ``connections`` to it at once."""

    bucket: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str
    connections: int = 16

    def __repr__(self) -> str:
        """Tell where, never with what."""
        return f"Bucket({self.bucket!r}, {self.endpoint!r})"
