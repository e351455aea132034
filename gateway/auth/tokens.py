"""Issued API tokens: made once, kept as hashes in one SQLite file, revocable while the gateway runs."""

import hashlib
import math
import os
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from edges.model import Frozen
from gateway.auth.identity import Identity, Scope

PREFIX = "lg_"
"""Tokens begin so: leaked ones are found by scanners, and strangers' tokens are told apart at sight."""

FILE = "tokens.sqlite"
"""The store's name in the state folder."""

KEEP_SECONDS = 90 * 86_400.0
"""How long tokens that have ended are still listed, in seconds."""

SCHEMA = 2
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_parts = _NAME.split(resources.files("gateway.auth").joinpath("tokens.sql").read_text(encoding="utf-8"))
_SQL = dict(zip(_parts[1::2], _parts[2::2], strict=True))


class TokenStoreUnavailable(Exception):
    """The file of the tokens cannot be read or written."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "The token store is not available"


class TokenGrant(Frozen):
    """What a token is good for: whose it is, and what it may do. ``note`` is for people.

    A ``session`` is a browser that is signed in: nobody knows its secret, and it is forgotten when it has ended.
    """

    user: str
    groups: tuple[str, ...] = ()
    charging_group: str = ""
    admin: bool = False
    scopes: tuple[Scope, ...] = ()
    note: str = ""
    kind: Literal["token", "session"] = "token"
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.identity("")

    def identity(self, via: str, *, expires_at: float | None = None) -> Identity:
        """Return whom the token tells.

        Raises:
            ValueError: the user, a group or the charging group is not a possible one.
        """
        return Identity(
            user=self.user,
            groups=self.groups,
            charging_group=self.charging_group,
            admin=self.admin,
            scopes=self.scopes,
            via=via,
            expires_at=expires_at,
            roles=self.roles,
        )


class IssuedToken(Frozen):
    """A token of ours, without its secret. Times in epoch seconds."""

    id: str
    grant: TokenGrant
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def forgotten(self, now: float) -> bool:
        """Tell whether it ended so long ago that it is not even listed any more."""
        ended = min(self.revoked_at or math.inf, self.expires_at or math.inf)
        return ended < (now - KEEP_SECONDS if self.grant.kind == "token" else now)


def digest_of(secret: str) -> bytes:
    """Return the hash by which a token is kept: its 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class TokenStore:
    """The tokens in a file; every call opens it, so that the command line and a running gateway can share it.

    Blocking: call it in a thread from async code.

    Raises:
        TokenStoreUnavailable: from every method, when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, isolation_level=None)
            connection.execute("PRAGMA busy_timeout = 5000")
            self._prepare(connection)
            yield connection
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise TokenStoreUnavailable(f"{self._path}: {error}") from error
        finally:
            if connection is not None:
                connection.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        if schema > SCHEMA:
            raise TokenStoreUnavailable(f"{self._path} was written by a newer version (schema {schema})")
        if schema < SCHEMA:
            connection.execute("BEGIN IMMEDIATE")
            (schema,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been first
            for number in range(schema + 1, SCHEMA + 1):
                for statement in _statements(_SQL[f"schema_{number}"]):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
            connection.execute("COMMIT")

    def create(self, grant: TokenGrant, *, now: float, expires_at: float | None = None) -> tuple[str, IssuedToken]:
        """Make a token; return its secret, which is kept nowhere and cannot be told again, and the rest."""
        secret = PREFIX + secrets.token_urlsafe(32)
        issued = IssuedToken(id=secrets.token_hex(6), grant=grant, created_at=now, expires_at=expires_at)
        row = (issued.id, digest_of(secret), msgspec.json.encode(grant).decode(), now, expires_at)
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_SQL["write_change"])
            connection.execute(_SQL["prune"], {"listed": now - KEEP_SECONDS, "now": now})
            connection.execute(_SQL["create"], row)
            connection.execute("COMMIT")
        return secret, issued

    def revoke(self, token_id: str, *, now: float) -> bool:
        """End a token; tell whether there was one that had not been ended."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_SQL["write_change"])
            done = connection.execute(_SQL["revoke"], (now, token_id)).rowcount == 1
            connection.execute("COMMIT")
        return done

    def write_uses(self, uses: Iterable[tuple[str, float]]) -> None:
        """Keep when tokens were last used: pairs of id and epoch seconds."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_SQL["write_use"], [(at, token_id) for token_id, at in uses])
            connection.execute("COMMIT")

    def all(self) -> list[IssuedToken]:
        """List all tokens, the oldest first, also those that have expired or were revoked."""
        with self._open() as connection:
            return [_issued(row_id, *rest) for row_id, _, *rest in connection.execute(_SQL["read_all"])]

    def load(self, since: int = -1) -> tuple[int, dict[bytes, IssuedToken]]:
        """Return the number of changes until now, and by digest the tokens that changed after that many."""
        with self._open() as connection:
            connection.execute("BEGIN")
            (count,) = connection.execute(_SQL["read_change"]).fetchone()
            rows = connection.execute(_SQL["read_since"], (since,)).fetchall()
            connection.execute("COMMIT")
            return count, {digest: _issued(row_id, *rest) for row_id, digest, *rest in rows}

    def changes(self) -> int:
        """Return the number of changes until now: cheap, to see whether to load."""
        with self._open() as connection:
            (count,) = connection.execute(_SQL["read_change"]).fetchone()
            return int(count)


def _statements(script: str) -> Iterator[str]:
    """Take a script apart, so that it can run inside a transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _issued(token_id: str, grant: str, created_at: float, *times: float | None) -> IssuedToken:
    expires_at, revoked_at, last_used_at = times
    return IssuedToken(
        id=token_id,
        grant=msgspec.json.decode(grant, type=TokenGrant),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
        last_used_at=last_used_at,
    )
