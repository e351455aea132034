"""``lakegate place``: where a computation would run, and why."""

import json
from typing import Any

import click
from rich.console import Console

from gateway.cli.moments import spelled_out
from gateway.cli.remote import EXIT_REFUSED, Remote, print_json, remote_options
from gateway.cli.search import numbers
from gateway.placement.rank import size


@click.command()
@click.option("--collections", help="Collection ids, separated by commas.")
@click.option("--ids", help="Item ids, separated by commas.")
@click.option("--bbox", help="west,south,east,north in degrees.")
@click.option("--datetime", "moment", help="An instant or interval.")
@click.option("--filter", "cql2", help="A CQL2 text filter.")
@click.option("--edge", help="Ask for this edge only.")
@click.option("--cores", type=float, help="Cores that the computation wants.")
@click.option("--memory", type=int, help="Bytes of memory that it wants.")
@click.option("--gpus", type=float, help="GPUs that it wants.")
@click.option("--prefix", help="A bucket prefix that it reads: s3://bucket/path/.")
@click.option("--image", help="The image that it wants to run in.")
@click.option("--kind", type=click.Choice(["any", "cluster", "kernel"]), help="What is to be started.")
@remote_options
@click.pass_context
def place(context: click.Context, /, remote: Remote, as_json: bool, **need: Any) -> None:
    """Rank the edges for a need and say why; nothing is started. Exit code 3 if no edge will do."""
    body = {name: value for name, value in need.items() if value is not None and name not in ("moment", "cql2")}
    for name in ("collections", "ids"):
        if name in body:
            body[name] = body[name].split(",")
    if "bbox" in body:
        body["bbox"] = numbers(body["bbox"])
    if need["moment"]:
        body["datetime"] = spelled_out(need["moment"])
    if need["cql2"]:
        body |= {"filter": need["cql2"], "filter-lang": "cql2-text"}
    placement = remote.call("POST", "/placement", body)
    if as_json:
        print_json(placement)
    else:
        _print(placement)
    if placement["edge"] is None:
        context.exit(EXIT_REFUSED)


def _print(placement: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(
        f"[bold]{placement['edge'] or 'no edge'}[/bold] for {placement['items']} items, {size(placement['bytes'])}"
    )
    for candidate in placement["candidates"]:
        mark = "[green]+[/green]" if candidate["eligible"] else "[red]-[/red]"
        console.print(f"{mark} {candidate['edge']}: {'; '.join(candidate['reasons'])}")
    for line in placement["advice"]:
        console.print(f"[yellow]{line}[/yellow]")
    for ready in placement["harvest"]:
        told = json.dumps(ready["body"])
        console.print(f"[yellow]ready request: {ready['method']} {ready['path']}[/yellow] {told}", soft_wrap=True)
