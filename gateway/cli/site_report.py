"""``lakegate sites show``: one site in full: how it is, what it claims, what it can, and what it was caught at."""

from typing import Any

import click
from rich.table import Table

from gateway.cli.remote import Remote, print_json, remote_options
from gateway.cli.tables import show


@click.command("show")
@click.argument("site")
@remote_options
def show_site(remote: Remote, as_json: bool, site: str) -> None:
    """Show what one site claims, and what it was caught at: since when, how often, and by which request."""
    told = remote.call("GET", f"/sites/{site}")
    if as_json:
        print_json(told)
        return
    table = Table("", "")
    for name, value in _facts(told):
        table.add_row(name, value)
    show(table, empty="")
    _show_quirks(told["caught"])


def _facts(told: dict[str, Any]) -> list[tuple[str, str]]:
    health, breaker = told["health"], told["breaker"]
    claims, can = _named(told["claims"]), _named(told["capabilities"])
    return [
        ("site", f"{told['id']} ({told['kind']}): {told['title']}"),
        ("health", health["status"] + (f": {health['reason']}" if health["reason"] else "")),
        ("breaker", breaker["state"] + _since(", asked again after ", breaker["asked_again_after"])),
        ("last answer", breaker["last_success"] or "never"),
        ("last failure", breaker["last_failure"] or "never"),
        ("claims", ", ".join(sorted(claims)) or "nothing"),
        ("does not keep", ", ".join(sorted(claims - can)) or "nothing that is known"),
        ("collections", "not known" if told["collections"] is None else str(len(told["collections"]))),
    ]


def _named(capabilities: dict[str, Any]) -> set[str]:
    return {name for name, has in capabilities.items() if has is True}


def _since(words: str, moment: str | None) -> str:
    return "" if moment is None else words + moment


def _show_quirks(caught: list[dict[str, Any]]) -> None:
    table = Table("caught at", "times", "since", "last")
    for quirk in caught:
        table.add_row(quirk["text"], str(quirk["count"]), quirk["since"], quirk["last"])
    show(table, empty="It was caught at nothing.")
    for quirk in caught:
        if quirk.get("example"):
            click.echo(f"\n{quirk['text']}, for example:")
            print_json(quirk["example"])
