"""``lakegate token``: issue, list and revoke API tokens, through a running gateway or in its state folder."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.table import Table

from gateway.auth.tokens import FILE, IssuedToken, TokenGrant, TokenStore, TokenStoreUnavailable
from gateway.cli import tables
from gateway.cli.amounts import seconds_option
from gateway.cli.remote import EXIT_FAILED, EXIT_REFUSED, CommandFailed, Remote, print_json, remote_options

_SCOPES = ("read", "compute", "harvest", "admin")

_state = click.option(
    "--state",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The gateway's state folder: act on its files, without a running gateway or a token.",
)


@click.group()
def token() -> None:
    """Issue, list and revoke API tokens. Needs an administrator's token, or --state on the gateway's machine."""


@token.command()
@click.option("--user", required=True, help="Whose token it is.")
@click.option("--group", "groups", multiple=True, help="A group of the user, as root/org/team; repeat for more.")
@click.option("--charging-group", default="", help="The group that pays by default; else the first one.")
@click.option("--admin", is_flag=True, help="The user administers the gateway.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), help="Restrict it; repeat for more.")
@click.option(
    "--expires", callback=seconds_option, help="How long it is valid, as 12h or 30d; else until it is revoked."
)
@click.option("--role", "roles", multiple=True, help="A role that collections ask for; repeat for more.")
@click.option("--note", default="", help="What it is for.")
@_state
@remote_options
def create(remote: Remote, as_json: bool, state: Path | None, expires: float | None, **grant: Any) -> None:
    """Make a token and print it: it is kept as a hash, and cannot be shown again."""
    if state is not None:
        made = _create_here(state, grant, expires)
    else:
        made = remote.call("POST", "/admin/tokens", {**grant, "expires_in": expires})
    if as_json:
        print_json(made)
        return
    click.echo(made["token"])
    click.echo(f"token {made['id']} of {made['user']}; expires: {_time(made['expires_at'], 'never')}", err=True)


def _create_here(state: Path, grant: dict[str, Any], expires: float | None) -> dict[str, Any]:
    try:
        wanted = msgspec.convert(grant, TokenGrant)
    except (msgspec.ValidationError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    now = time.time()
    expires_at = None if expires is None else now + expires
    try:
        secret, issued = TokenStore(state / FILE).create(wanted, now=now, expires_at=expires_at)
    except TokenStoreUnavailable as error:
        raise CommandFailed(str(error), EXIT_FAILED) from error
    return {**_told(issued), "token": secret}


@token.command("list")
@_state
@remote_options
def list_tokens(remote: Remote, as_json: bool, state: Path | None) -> None:
    """List the issued tokens, without their secrets; those of the configuration file are not among them."""
    if state is not None:
        try:
            tokens = [_told(each) for each in TokenStore(state / FILE).all()]
        except TokenStoreUnavailable as error:
            raise CommandFailed(str(error), EXIT_FAILED) from error
    else:
        tokens = remote.call("GET", "/admin/tokens")["tokens"]
    if as_json:
        print_json({"tokens": tokens})
        return
    table = Table("id", "kind", "user", "groups", "admin", "scopes", "created", "used", "expires", "revoked", "note")
    for each in tokens:
        times = [_time(each["created_at"], ""), _time(each["last_used_at"], "never")]
        times += [_time(each["expires_at"], "never"), _time(each["revoked_at"], "")]
        lists = ", ".join(each["groups"]), "yes" if each["admin"] else "", ", ".join(each["scopes"]) or "all"
        table.add_row(each["id"], each["kind"], each["user"], *lists, *times, each["note"])
    tables.show(table, empty="No tokens were issued.")


@token.command()
@click.argument("token_id", metavar="ID")
@_state
@remote_options
def revoke(remote: Remote, as_json: bool, state: Path | None, token_id: str) -> None:
    """Revoke the token ID: it ends within a second, with all sessions that began with it."""
    if state is not None:
        try:
            done = TokenStore(state / FILE).revoke(token_id, now=time.time())
        except TokenStoreUnavailable as error:
            raise CommandFailed(str(error), EXIT_FAILED) from error
        if not done:
            raise CommandFailed(f"there is no token {token_id!r} that is not revoked yet", EXIT_REFUSED)
    else:
        remote.call("DELETE", f"/admin/tokens/{quote(token_id, safe='')}")
    if as_json:
        print_json({"revoked": token_id})
    else:
        click.echo(f"token {token_id} is revoked")


def _told(issued: IssuedToken) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(issued)
    return {**told.pop("grant"), **told}


def _time(at: float | None, otherwise: str) -> str:
    return otherwise if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
