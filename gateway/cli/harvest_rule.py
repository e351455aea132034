"""``lakegate harvest rule``: standing rules, from a file or from options."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import yaml
from rich.table import Table

from gateway.cli.harvest_acts import add_acts
from gateway.cli.remote import Remote, print_json, remote_options
from gateway.cli.tables import show
from gateway.placement.rank import size

_POLL_SECONDS = 1.0
_ENDED = ("CANCELLED", "EXPIRED")


@click.group()
def rule() -> None:
    """Standing rules: keep an edge's bucket and catalogue current with what hubs get."""


@rule.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", help="An idempotency key: the same key and rule give the same rule.")
@click.option("--dry-run", is_flag=True, help="Say what its first run would bring; write nothing.")
@remote_options
def create(remote: Remote, as_json: bool, file: Path, key: str | None, dry_run: bool) -> None:
    """Make a rule of a YAML or JSON file (source, target, mode, schedule, ...)."""
    try:
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise click.BadParameter(f"{file} is no YAML: {error}") from error
    headers = {"Idempotency-Key": key} if key else {}
    told = remote.call("POST", "/harvests" + ("?dry-run=true" if dry_run else ""), body, headers)
    if as_json:
        print_json(told)
    elif dry_run:
        for each in told["targets"]:
            needs = ", needs approval" if each["approval"] else ""
            click.echo(f"{each['target']}: {each['items']} items, {size(each['bytes'])}{needs}")
            if each["refusal"]:
                click.echo(f"There is no quota for it: {each['refusal']}", err=True)
    else:
        click.echo(f"rule {told['id']} {told['state']}")


@rule.command(name="list")
@click.option("--limit", default=50, show_default=True, help="The latest so many.")
@remote_options
def list_rules(remote: Remote, as_json: bool, limit: int) -> None:
    """List your group's rules, the latest first."""
    rules = remote.call("GET", f"/harvests?limit={limit}")["harvests"]
    if as_json:
        print_json(rules)
        return
    table = Table("rule", "name", "state", "copies", "bytes", "lag", "message")
    for each in rules:
        progress, lag = each["progress"], each["lag_seconds"]
        copies = f"{progress['objects_done']}/{progress['objects']}"
        late = "" if lag is None else f"{lag:.0f} s"
        table.add_row(
            each["id"], each["rule"]["name"], each["state"], copies, size(progress["bytes"]), late, each["message"]
        )
    show(table, empty="No rules.")


@rule.command(name="show")
@click.argument("rule_id")
@remote_options
def show_rule(remote: Remote, as_json: bool, rule_id: str) -> None:
    """Show a rule: what was asked, and how far it is."""
    told = remote.call("GET", f"/harvests/{quote(rule_id, safe='')}")
    if as_json:
        print_json(told)
    else:
        click.echo(yaml.safe_dump({name: told[name] for name in told if name != "links"}, sort_keys=False).rstrip())


@rule.command()
@click.argument("rule_id")
@remote_options
def follow(remote: Remote, as_json: bool, rule_id: str) -> None:
    """Tell of each change of a rule until it ends, or is interrupted."""
    before: dict[str, Any] = {}
    while True:
        told = remote.call("GET", f"/harvests/{quote(rule_id, safe='')}")
        now = {name: told[name] for name in ("state", "message", "runs", "progress")}
        if now != before:
            before = now
            if as_json:
                print_json(told)
            else:
                _line(told)
        if told["state"] in _ENDED:
            return
        time.sleep(_POLL_SECONDS)


def _line(told: dict[str, Any]) -> None:
    progress = told["progress"]
    done = f"{size(progress['bytes_done'])} of {size(progress['bytes'])}"
    click.echo(
        f"{told['state']}: {progress['objects_done']} of {progress['objects']} copies, {done}; {told['message']}"
    )


@rule.command()
@click.argument("rule_id")
@click.option("--purge/--keep", default=None, help="Let its copies go, or stay; by default as the rule says.")
@remote_options
def cancel(remote: Remote, as_json: bool, rule_id: str, purge: bool | None) -> None:
    """End a rule."""
    asked = "" if purge is None else f"?purge={str(purge).lower()}"
    told = remote.call("DELETE", f"/harvests/{quote(rule_id, safe='')}{asked}")
    if as_json:
        print_json(told)
    else:
        click.echo(f"rule {told['id']} {told['state']}")


add_acts(rule, "/harvests")
