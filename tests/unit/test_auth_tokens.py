"""Issued tokens in their file, and the authenticator that knows them."""

import asyncio
import sqlite3
import stat
from contextlib import closing

import pytest
from waiting import until

from edges.settings import Secret
from gateway.auth import Identity, InvalidCredentials, TokenAuthenticator, TokenGrant, TokenStore, TokenStoreUnavailable
from gateway.auth.tokens import KEEP_SECONDS, digest_of
from gateway.settings import ApiTokenSettings, AuthSettings

GRANT = TokenGrant(user="alice", groups=("eo/coast",), scopes=("read",), note="laptop")


def configured(tmp_path, **users):
    tokens = []
    for user, secret in users.items():
        (tmp_path / f"{user}.token").write_text(secret)
        secret_file = Secret(file=str(tmp_path / f"{user}.token"))
        tokens.append(ApiTokenSettings(user=user, token=secret_file, groups=("eo/coast",)))
    return AuthSettings(tokens=tuple(tokens))


def test_a_token_is_told_once_and_kept_as_a_hash_in_a_private_file(tmp_path):
    store = TokenStore(tmp_path / "tokens.sqlite")
    secret, issued = store.create(GRANT, now=1.0, expires_at=9.0)
    assert secret.startswith("lg_")
    assert store.all() == [issued]
    assert issued.grant == GRANT
    content = (tmp_path / "tokens.sqlite").read_bytes()
    assert secret.encode() not in content
    assert secret.removeprefix("lg_").encode() not in content
    assert stat.S_IMODE((tmp_path / "tokens.sqlite").stat().st_mode) == 0o600


def test_a_token_is_revoked_once(tmp_path):
    store = TokenStore(tmp_path / "tokens.sqlite")
    _, issued = store.create(GRANT, now=1.0)
    assert store.revoke(issued.id, now=2.0)
    assert not store.revoke(issued.id, now=3.0)
    assert not store.revoke("nobody", now=3.0)
    assert store.all()[0].revoked_at == 2.0


def test_tokens_that_ended_long_ago_are_forgotten(tmp_path):
    store = TokenStore(tmp_path / "tokens.sqlite")
    _, revoked = store.create(GRANT, now=1.0)
    store.create(GRANT, now=1.0, expires_at=2.0)
    _, valid = store.create(GRANT, now=1.0)
    store.revoke(revoked.id, now=2.0)
    _, new = store.create(GRANT, now=2.0 + KEEP_SECONDS + 1)
    assert [token.id for token in store.all()] == [valid.id, new.id]


def test_a_file_that_is_no_store_is_told(tmp_path):
    (tmp_path / "tokens.sqlite").write_text("something else altogether, and long enough to be looked at" * 20)
    with pytest.raises(TokenStoreUnavailable, match=r"tokens\.sqlite"):
        TokenStore(tmp_path / "tokens.sqlite").all()
    with pytest.raises(TokenStoreUnavailable):
        TokenStore(tmp_path / "no folder" / "tokens.sqlite").all()


async def test_configured_tokens_are_known(tmp_path):
    authenticator = TokenAuthenticator(configured(tmp_path, alice="s3cret", bob="other"), state=tmp_path)
    async with authenticator.running():
        identity = await authenticator.identify("s3cret")
        assert (identity.user, identity.groups) == ("alice", ("eo/coast",))
        assert "s3cret" not in identity.via
        assert await authenticator.recall(identity.via) == identity
        assert await authenticator.identify("s3cre") is None
        assert await authenticator.recall("static:made-up") is None


def test_a_configured_token_that_cannot_be_read_or_stands_for_two_users_is_told(tmp_path):
    missing = AuthSettings(tokens=(ApiTokenSettings(user="a", token=Secret(file=str(tmp_path / "none"))),))
    with pytest.raises(LookupError, match="none"):
        TokenAuthenticator(missing, state=tmp_path)
    with pytest.raises(ValueError, match="alice and bob have the same token"):
        TokenAuthenticator(configured(tmp_path, alice="same", bob="same"), state=tmp_path)


async def test_an_issued_token_works_at_once_and_ends_when_it_is_revoked(tmp_path):
    authenticator = TokenAuthenticator(AuthSettings(), state=tmp_path)
    async with authenticator.running():
        secret, issued = await authenticator.create(GRANT)
        identity = await authenticator.identify(secret)
        assert (identity.user, identity.scopes) == ("alice", ("read",))
        assert await authenticator.recall(identity.via) == identity
        assert await authenticator.revoke(issued.id)
        with pytest.raises(InvalidCredentials, match="revoked"):
            await authenticator.identify(secret)
        assert await authenticator.recall(identity.via) is None


async def test_an_issued_token_ends_at_its_expiry(tmp_path):
    now = [1_000.0]
    authenticator = TokenAuthenticator(AuthSettings(), state=tmp_path, clock=lambda: now[0])
    async with authenticator.running():
        secret, _ = await authenticator.create(GRANT, seconds=60)
        identity = await authenticator.identify(secret)
        now[0] += 60
        with pytest.raises(InvalidCredentials, match="expired"):
            await authenticator.identify(secret)
        assert await authenticator.recall(identity.via) is None


async def test_what_the_command_line_changes_reaches_a_running_gateway(tmp_path):
    authenticator = TokenAuthenticator(AuthSettings(), state=tmp_path)
    store = TokenStore(tmp_path / "tokens.sqlite")
    async with authenticator.running():
        secret, issued = await asyncio.to_thread(store.create, GRANT, now=1.0)

        async def known():
            return await authenticator.identify(secret) is not None

        await until(known)
        await asyncio.to_thread(store.revoke, issued.id, now=2.0)

        async def ended():
            return await authenticator.recall(f"issued:{issued.id}") is None

        await until(ended)


OLD = """
CREATE TABLE token (id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, grant_json TEXT NOT NULL,
  created_at REAL NOT NULL, expires_at REAL, revoked_at REAL) WITHOUT ROWID;
CREATE TABLE change (count INTEGER NOT NULL);
INSERT INTO change (count) VALUES (7);
PRAGMA user_version = 1;
"""
"""The file as the first release made it."""


async def test_a_file_of_the_first_release_is_taken_over(tmp_path):
    grant = '{"user":"alice","groups":["eo"],"charging_group":"","admin":false,"scopes":[],"note":""}'
    with closing(sqlite3.connect(tmp_path / "tokens.sqlite", isolation_level=None)) as connection:
        connection.executescript(OLD)
        connection.execute("INSERT INTO token VALUES ('t1', ?, ?, 1.0, NULL, NULL)", (digest_of("old-secret"), grant))
    authenticator = TokenAuthenticator(AuthSettings(), state=tmp_path)
    async with authenticator.running():
        assert (await authenticator.identify("old-secret")).user == "alice"
        secret, _ = await authenticator.create(GRANT)
        assert (await authenticator.identify(secret)).user == "alice"
        assert await authenticator.revoke("t1")
        with pytest.raises(InvalidCredentials, match="revoked"):
            await authenticator.identify("old-secret")


async def test_it_is_told_when_a_token_was_last_used_also_after_a_restart(tmp_path):
    now = [1_000.0]

    def gateway():
        return TokenAuthenticator(AuthSettings(), state=tmp_path, clock=lambda: now[0])

    async with (first := gateway()).running():
        secret, issued = await first.create(GRANT)
        assert (await first.issued())[0].last_used_at is None
        now[0] = 2_000.0
        await first.identify(secret)
        assert (await first.issued())[0].last_used_at == 2_000.0
        now[0] = 3_000.0
        await first.recall(f"issued:{issued.id}")
    async with (second := gateway()).running():
        assert [each.last_used_at for each in await second.issued()] == [3_000.0]


async def test_a_browsers_session_ends_with_the_credentials_that_it_began_with_and_is_forgotten(tmp_path):
    now = [1_000.0]
    authenticator = TokenAuthenticator(AuthSettings(), state=tmp_path, clock=lambda: now[0])
    async with authenticator.running():
        signed = Identity(user="ann", groups=("eo",), admin=True, scopes=("admin",), expires_at=1_100.0)
        via = await authenticator.begin_session(signed, seconds=3_600)
        kept = await authenticator.recall(via)
        assert (kept.user, kept.groups, kept.admin, kept.scopes) == ("ann", ("eo",), True, ("admin",))
        now[0] = 1_101.0
        assert await authenticator.recall(via) is None
        other = await authenticator.begin_session(Identity(user="ann", groups=("eo",)), seconds=3_600)
        assert [each.id for each in await authenticator.issued()] == [other.removeprefix("issued:")]
        await authenticator.end_session(other)
        assert await authenticator.recall(other) is None
        secret, token = await authenticator.create(GRANT)
        await authenticator.end_session(f"issued:{token.id}")
        assert await authenticator.identify(secret), "to sign out ends no token"


async def test_many_tokens_do_not_make_each_new_one_slower_to_take_over(tmp_path):
    store = TokenStore(tmp_path / "tokens.sqlite")
    for n in range(20):
        store.create(GRANT, now=float(n))
    count, everything = store.load()
    assert len(everything) == 20
    _, last = store.create(GRANT, now=99.0)
    assert list(store.load(count)[1].values()) == [last]
    assert store.load(store.changes())[1] == {}
