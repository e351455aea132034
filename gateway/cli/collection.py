"""``lakegate collection``: collections of one's own, made, loaded, shared and removed."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.table import Table

from gateway.cli.collection_load import load_files
from gateway.cli.remote import EXIT_PARTIAL, Remote, print_json, remote_options
from gateway.cli.tables import show

_TOLD = 20


@click.group()
def collection() -> None:
    """Keep collections of your own: private, shared with groups, or public."""


@collection.command()
@click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@remote_options
def create(remote: Remote, as_json: bool, document: Path) -> None:
    """Make a private collection of a STAC Collection in a JSON file."""
    try:
        body = msgspec.json.decode(document.read_bytes(), type=dict)
    except (msgspec.DecodeError, OSError) as error:
        raise click.UsageError(f"{document}: {error}") from error
    made = remote.call("POST", "/collections", body | {"type": body.get("type", "Collection")})
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made['id']}: made, private")


@collection.command()
@click.argument("name", metavar="COLLECTION")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--atomic", is_flag=True, help="All items or none; of 64 MiB at most.")
@remote_options
def load(remote: Remote, as_json: bool, name: str, paths: tuple[Path, ...], atomic: bool) -> None:
    """Add or replace items from files and folders: JSON, NDJSON (also .gz), GeoParquet."""
    loaded = load_files(remote, f"{_path(name)}/bulk", paths, atomic=atomic)
    if as_json:
        print_json(loaded.as_json())
    else:
        click.echo(f"{name}: {loaded.added:,} items added, {loaded.replaced:,} replaced, {loaded.bad:,} bad")
        for line in loaded.told[:_TOLD]:
            click.echo(line, err=True)
    if loaded.bad:
        raise click.exceptions.Exit(EXIT_PARTIAL)


@collection.command()
@click.argument("name", metavar="COLLECTION")
@click.option("--tree", required=True, help="Which of the gateway's trees.")
@remote_options
def tree(remote: Remote, as_json: bool, name: str, tree: str) -> None:
    """Read a collection from a bucket tree: what is new, changed or gone."""
    told = remote.call("POST", f"{_path(name)}/tree", {"tree": tree})
    if as_json:
        print_json(told)
    else:
        made = "made; " if told["created"] else ""
        click.echo(
            f"{name}: {made}{told['read']:,} items read, {told['unchanged']:,} as before, {told['gone']:,} removed, "
            f"{told['bad']:,} bad"
        )
        for one in told["told"][:_TOLD]:
            click.echo(f"{one['key']}: {one['detail']}", err=True)
    if told["bad"]:
        raise click.exceptions.Exit(EXIT_PARTIAL)


@collection.command()
@click.argument("name", metavar="COLLECTION")
@click.argument("groups", nargs=-1, metavar="GROUP[:read|:write]...")
@remote_options
def share(remote: Remote, as_json: bool, name: str, groups: tuple[str, ...]) -> None:
    """Share a collection with groups, each for reading (the default) or writing; without any, show who has it."""
    path = f"{_path(name)}/sharing"
    if not groups:
        _told(remote.call("GET", path), as_json=as_json)
        return
    now = remote.call("GET", path)
    wanted = {**now.get("groups", {}), **dict(map(_right, groups))}
    visibility = "public" if now["visibility"] == "public" else "group"
    _told(remote.call("PUT", path, {"visibility": visibility, "groups": wanted}), as_json=as_json)


@collection.command()
@click.argument("name", metavar="COLLECTION")
@click.argument("wanted", metavar="VISIBILITY", type=click.Choice(["private", "public"]))
@remote_options
def visibility(remote: Remote, as_json: bool, name: str, wanted: str) -> None:
    """Let everybody see a collection, or its owner alone; `share` lets groups."""
    path = f"{_path(name)}/sharing"
    groups = remote.call("GET", path).get("groups", {}) if wanted == "public" else {}
    _told(remote.call("PUT", path, {"visibility": wanted, "groups": groups}), as_json=as_json)


@collection.command()
@click.argument("name", metavar="COLLECTION")
@click.option("--yes", is_flag=True, help="Do not ask.")
@remote_options
def delete(remote: Remote, as_json: bool, name: str, yes: bool) -> None:
    """Remove a collection with all its items."""
    if not yes:
        items = remote.call("GET", f"{_path(name)}/sharing")["items"]
        click.confirm(f"Remove {name} with its {items:,} items?", abort=True)
    remote.call("DELETE", _path(name))
    if as_json:
        print_json({"collection": name, "removed": True})
    else:
        click.echo(f"{name}: removed")


@collection.command("list")
@remote_options
def list_collections(remote: Remote, as_json: bool) -> None:
    """List your collections, and those that are shared with your groups."""
    told = remote.call("GET", "/contributed")["collections"]
    if as_json:
        print_json(told)
        return
    table = Table("collection", "owner", "visibility", "groups", "you may", "items")
    for each in told:
        groups = ", ".join(f"{group}:{right}" for group, right in each.get("groups", {}).items())
        may = ", ".join(each["you_may"])
        table.add_row(each["collection"], each["owner"], each["visibility"], groups, may, f"{each['items']:,}")
    show(table, empty="no collections; `lakegate collection create` makes one")


def _path(name: str) -> str:
    return f"/collections/{quote(name, safe='')}"


def _right(told: str) -> tuple[str, str]:
    group, _, right = told.partition(":")
    if right not in ("", "read", "write"):
        raise click.UsageError(f"{told}: a group is shared with for `read` or `write`")
    return group, right or "read"


def _told(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    groups = ", ".join(f"{group}:{right}" for group, right in told.get("groups", {}).items())
    click.echo(f"{told['collection']}: {told['visibility']}{', shared with ' + groups if groups else ''}")
