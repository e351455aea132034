"""Which executor carries an order. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from edges.errors import InvalidInput
from harvest.settings_executors import ExecutorName, ExecutorSettings


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Who there is to carry: ``available`` tells, by executor, the targets that it can carry to.

    >>> choice = Choice(settings=ExecutorSettings(large="dask", large_bytes=5), available={"dask": ["edge-a"]})
    >>> choice.executor(None, "edge-a", 10), choice.executor(None, "edge-b", 10), choice.executor(None, "edge-a", 1)
    ('dask', 'local', 'local')
    """

    settings: ExecutorSettings = field(default_factory=ExecutorSettings)
    available: Mapping[str, Collection[str]] = field(default_factory=dict)

    def check(self, asked: ExecutorName | None, target: str) -> None:
        """Raise InvalidInput where an order asks for an executor that cannot carry to its target."""
        if asked is not None and not self._carries(asked, target):
            there = ", ".join(["local", *(name for name in self.available if self._carries(name, target))])
            raise InvalidInput("executor", f"{asked!r} does not carry to {target!r}", f"one of {there}")

    def executor(self, asked: ExecutorName | None, target: str, size: int, near: int = 0) -> ExecutorName:
        """Return who carries an order of so many bytes: as asked, else by its volume, where that reaches the target.

        What has assets that the gateway alone can read (``near``) is carried by it.

        Raises:
            InvalidInput: another was asked for, which could not.
        """
        if near and asked not in (None, "local"):
            why = f"{near} assets are files, or come only with a site's credentials: the gateway alone can read them"
            raise InvalidInput("executor", why, "'local', or no executor")
        if near:
            return "local"
        usual = self.settings.large if size >= self.settings.large_bytes else self.settings.usual
        wanted = asked or usual
        return wanted if self._carries(wanted, target) else "local"

    def _carries(self, name: str, target: str) -> bool:
        return name == "local" or target in self.available.get(name, ())
