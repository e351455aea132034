"""``lakegate search``: the federated search from a terminal."""

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from gateway.cli.moments import spelled_out
from gateway.cli.remote import EXIT_PARTIAL, Remote, print_json, remote_options
from gateway.cli.search_export import export
from gateway.cli.search_part import kind_of
from gateway.cli.tables import show
from gateway.search.explain import EXPLAINED, table_rows


@click.command()
@click.option("--collections", help="Collection ids, separated by commas.")
@click.option("--ids", help="Item ids, separated by commas.")
@click.option("--bbox", help="west,south,east,north in degrees.")
@click.option("--datetime", "moment", help="An instant or interval, as 2026-04-01/2026-05-31.")
@click.option("--filter", "cql2", help='A CQL2 text filter, as "eo:cloud_cover < 20".')
@click.option("--sortby", help="Fields, as -datetime,+eo:cloud_cover.")
@click.option("--max-items", type=int, help="Items in all, 0 for every one; by default 20, with --to every one.")
@click.option("--strict", is_flag=True, help="Fail if any site is missing.")
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Bring all items into a file: .parquet, .ndjson or .ndjson.gz. Interrupted, the same command goes on.",
)
@click.option("--explain", is_flag=True, help="Tell how the search is made instead of what it finds.")
@remote_options
@click.pass_context
def search(  # noqa: PLR0917 - one parameter per option
    context: click.Context,
    remote: Remote,
    collections: str | None,
    ids: str | None,
    bbox: str | None,
    moment: str | None,
    cql2: str | None,
    sortby: str | None,
    max_items: int | None,
    strict: bool,
    target: Path | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Search all sites; newest first unless sorted otherwise. Items go to standard output, notes to standard error."""
    body: dict[str, Any] = {
        "collections": collections.split(",") if collections else None,
        "ids": ids.split(",") if ids else None,
        "bbox": numbers(bbox) if bbox else None,
        "datetime": spelled_out(moment) if moment else None,
        "filter": cql2,
        "filter-lang": "cql2-text" if cql2 else None,
        "sortby": _sort_keys(sortby) if sortby else None,
        "strict": strict or None,
    }
    body = {key: value for key, value in body.items() if value is not None}
    if explain:
        _explain(remote, body, max_items, as_json=as_json)
        return
    if target is not None:
        missing = _exported(remote, body, target, max_items, as_json=as_json)
        _end(context, missing)
        return
    items, reports = _walk(remote, body, 20 if max_items is None else max_items)
    missing = [site for site, report in reports.items() if report["status"] == "failed"]
    if as_json:
        print_json(
            {"type": "FeatureCollection", "features": items, "federation": reports, "federation:missing": missing}
        )
    else:
        _print_table(items)
    _end(context, missing)


def _end(context: click.Context, missing: list[str]) -> None:
    if missing:
        click.echo(f"Missing: {', '.join(missing)}; the answer is not complete.", err=True)
        context.exit(EXIT_PARTIAL)


def _exported(remote: Remote, body: dict[str, Any], target: Path, most: int | None, *, as_json: bool) -> list[str]:
    """Bring all items into a file; return the sites that are missing."""
    try:
        kind_of(target)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error
    done = export(remote, body, target, most=most or None)
    if as_json:
        print_json(msgspec.to_builtins(done))
    else:
        click.echo(f"{done.items:,} items in {done.file} ({done.bytes:,} bytes, {done.seconds:,.1f} s)", err=True)
    return done.missing


def _explain(remote: Remote, body: dict[str, Any], most: int | None, *, as_json: bool) -> None:
    document = remote.call("POST", "/search/explain", body | {"limit": most or 20})
    if as_json:
        print_json(document)
        return
    table = Table(*EXPLAINED)
    for row in table_rows(document):
        table.add_row(*row)
    show(table, empty="No sites.")
    page = document["page"]
    click.echo(f"{page['items']} items on the page, {document['milliseconds']:,.0f} ms")


def _walk(remote: Remote, body: dict[str, Any], max_items: int) -> tuple[list[Any], dict[str, Any]]:
    """Return the items of all pages, and each site's last report; a failure on any page stays told."""
    items: list[Any] = []
    reports: dict[str, Any] = {}
    page_size = min(max_items, 200) or 200
    method, href, payload = "POST", "/search", body | {"limit": page_size}
    with Console(stderr=True).status("searching …") as shown:
        while True:
            page = remote.call(method, href, payload)
            items += page["features"]
            failed = {site: report for site, report in reports.items() if report["status"] == "failed"}
            reports = (page.get("federation") or {}) | failed
            shown.update(f"{len(items)} items …")
            following = next((link for link in page["links"] if link["rel"] == "next"), None)
            if following is None or (max_items and len(items) >= max_items):
                return items[: max_items or None], reports
            method, href, payload = following.get("method", "GET"), following["href"], following.get("body")


def numbers(text: str) -> list[float]:
    """Read the option ``--bbox``."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter("expected numbers, as 11.0,48.0,12.0,49.0", param_hint="--bbox") from error


def _sort_keys(text: str) -> list[dict[str, str]]:
    return [
        {"field": key.lstrip("+-"), "direction": "desc" if key.startswith("-") else "asc"} for key in text.split(",")
    ]


def _print_table(items: list[Any]) -> None:
    table = Table("collection", "id", "datetime", "sites", "assets")
    for item in items:
        properties = item["properties"]
        table.add_row(
            item.get("collection", ""),
            item["id"],
            str(properties.get("datetime") or properties.get("start_datetime") or ""),
            ", ".join(properties.get("federation:backends", [])),
            str(len(item.get("assets", {}))),
        )
    show(table, empty="No items match.")
