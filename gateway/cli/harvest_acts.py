"""What is done with jobs and rules alike: suspend, resume, retry, approve, reject, explain."""

from typing import Any
from urllib.parse import quote

import click
from rich.table import Table

from gateway.cli.remote import Remote, print_json, remote_options
from gateway.cli.tables import show

_ACTS = {
    "pause": ("suspend", "Stop work; what is up stays."),
    "resume": ("resume", "Go on where it was."),
    "retry": ("retry", "Try what failed once more."),
    "approve": ("approve", "Let it begin (administrators)."),
}


def add_acts(group: click.Group, path: str) -> None:
    """Add the commands to a group; ``path`` is where its things are (``/jobs``)."""
    for name, (act, line) in _ACTS.items():
        group.add_command(_act(name, act, line, path))
    group.add_command(_reject(path))
    group.add_command(_explain(path))


def _act(name: str, act: str, line: str, path: str) -> click.Command:
    @click.argument("thing", metavar="ID")
    @remote_options
    def command(remote: Remote, as_json: bool, thing: str) -> None:
        _told(remote.call("POST", f"{path}/{quote(thing, safe='')}/{act}"), as_json=as_json)

    return click.command(name, help=line)(command)


def _reject(path: str) -> click.Command:
    @click.argument("thing", metavar="ID")
    @click.option("--reason", required=True, help="Why, in words: its owner reads them.")
    @remote_options
    def command(remote: Remote, as_json: bool, thing: str, reason: str) -> None:
        told = remote.call("POST", f"{path}/{quote(thing, safe='')}/reject", {"reason": reason})
        _told(told, as_json=as_json)

    return click.command("reject", help="Refuse what waits for approval (administrators).")(command)


def _explain(path: str) -> click.Command:
    @click.argument("thing", metavar="ID")
    @remote_options
    def command(remote: Remote, as_json: bool, thing: str) -> None:
        told = remote.call("GET", f"{path}/{quote(thing, safe='')}/explain")
        if as_json:
            print_json(told)
            return
        click.echo(f"{told['state']}: {told['message'] or told['advice']}")
        table = Table("how many", "state", "reason", "for example", "again at")
        for each in told["reasons"]:
            row = (str(each["count"]), each["state"], each["reason"], each["example"], each["retry_at"] or "")
            table.add_row(*row)
        show(table, empty=told["advice"])

    return click.command("explain", help="Say why it is where it is.")(command)


def _told(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        click.echo(f"{told.get('id') or told.get('jobID')} {told['state']}: {told['message']}")
