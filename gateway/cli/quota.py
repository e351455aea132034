"""``lakegate quota``: where one stands, what would be refused, what happened."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.table import Table

from gateway.cli import tables
from gateway.cli.remote import EXIT_REFUSED, Remote, print_json, remote_options

_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_FACTORS = {unit.lower(): 1024.0**power for power, unit in enumerate(_UNITS)} | {
    unit: 1000.0**power for power, unit in enumerate(("", "k", "m", "g", "t", "p"))
}


@click.group()
def quota() -> None:
    """Show quotas: how much is used, whether something would fit, and what was charged."""


@quota.command()
@click.argument("group", required=False)
@remote_options
def show(remote: Remote, as_json: bool, group: str | None) -> None:
    """Show where you stand, or where GROUP (such as root/org/team) stands.

    A policy in mode `shadow` is counted, and refuses nothing.
    """
    answer = remote.call("GET", f"/quotas/{quote(group)}" if group else "/quotas/me")
    if as_json:
        print_json(answer)
        return
    table = Table("policy", "holder", "edge", "kind", "used", "reserved", "limit", "available", "mode")
    for each in answer["quotas"]:
        amounts = [_amount(each[name], each["unit"]) for name in ("used", "reserved")]
        limit = _amount(each["limit"], each["unit"]) + _per(each["window_seconds"])
        available = _amount(each["available"], each["unit"])
        mode = each["mode"]
        table.add_row(each["policy"], each["holder"], each["edge"], each["kind"], *amounts, limit, available, mode)
    tables.show(table, empty="No quota binds you here." if group is None else f"No quota binds {group}.")


@quota.command()
@click.argument("wanted", nargs=-1, required=True, metavar="RESOURCE=AMOUNT[@EDGE]...")
@click.option("--group", help="The group that would pay; by default your charging group.")
@remote_options
def check(remote: Remote, as_json: bool, wanted: tuple[str, ...], group: str | None) -> None:
    """Ask whether something would fit now, without taking it. Exits with 3 where it would be refused.

    For example: lakegate quota check cores=8@edge-a memory=32Gi@edge-a
    """
    lines = [_line(text) for text in wanted]
    headers = {"X-Lakegate-Group": group} if group else {}
    answer = remote.call("POST", "/quotas/check", {"lines": lines}, headers)
    if as_json:
        print_json(answer)
    elif answer["fits"]:
        click.echo(f"It fits; {answer['group']} would pay.")
    else:
        click.echo(f"It would be refused: {answer['refusal']['detail']}")
    if not answer["fits"]:
        raise click.exceptions.Exit(EXIT_REFUSED)


@quota.command()
@click.argument("group")
@click.option("--after", default=0, show_default=True, help="Begin after this number of the history.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="Entries per page.")
@click.option("--all", "everything", is_flag=True, help="Follow all pages to the end.")
@remote_options
def history(remote: Remote, as_json: bool, group: str, after: int, limit: int, everything: bool) -> None:
    """Show what GROUP and those below it reserved, used and gave back, the oldest first."""
    entries: list[dict[str, Any]] = []
    while True:
        query = urlencode({"after": after, "limit": limit})
        page = remote.call("GET", f"/quotas/{quote(group)}/history?{query}")
        entries += page["entries"]
        if not page["links"] or not everything:
            break
        after = page["entries"][-1]["seq"]
    if as_json:
        print_json({"group": group, "entries": entries, "links": page["links"]})
        return
    table = Table("number", "time", "event", "group", "user", "resource", "edge", "amount", "taken", "key", "why")
    for each in entries:
        time = datetime.fromtimestamp(each["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        taken = f"{each['before']:g} -> {each['after']:g}"
        names = [each[name] for name in ("event", "group", "user", "resource", "edge")]
        table.add_row(str(each["seq"]), time, *names, f"{each['amount']:g}", taken, each["key"], each["why"])
    tables.show(table, empty="Nothing was charged.")
    if page["links"]:
        click.echo(f"More: lakegate quota history {group} --after {entries[-1]['seq']}", err=True)


def _line(text: str) -> dict[str, Any]:
    resource, equals, rest = text.partition("=")
    amount, _, edge = rest.partition("@")
    if not equals or not resource:
        raise click.BadParameter(f"{text!r} is not of the form RESOURCE=AMOUNT or RESOURCE=AMOUNT@EDGE")
    return {"resource": resource, "amount": _number(amount, text), "edge": edge or "*"}


def _number(amount: str, text: str) -> float:
    digits = amount.rstrip("kKmMgGtTpPiIbB")
    unit = amount[len(digits) :].lower().removesuffix("b")
    try:
        return float(digits) * _FACTORS[unit]
    except (ValueError, KeyError) as error:
        right = "a number, as 8, 0.5, 32Gi or 10GB"
        raise click.BadParameter(f"{text!r}: {amount!r} is no amount; expected {right}") from error


def _amount(amount: float, unit: str) -> str:
    """Write an amount for people: bytes in binary units, all others as they are."""
    if unit != "bytes":
        return f"{amount:,.6g} {unit}"
    power = 0
    while amount >= 1024 and power < len(_UNITS) - 1:
        amount /= 1024
        power += 1
    return f"{amount:.4g} {_UNITS[power]}B"


def _per(seconds: int | None) -> str:
    return f" in {seconds:,} s" if seconds else ""
