"""``lakegate sites``: who is there and how they are."""

import click
from rich.table import Table

from gateway.cli.remote import Remote, print_json, remote_options
from gateway.cli.tables import show


@click.command()
@remote_options
def sites(remote: Remote, as_json: bool) -> None:
    """List the sites with their health, what they hold and what they were caught at."""
    answer = remote.call("GET", "/sites")
    if as_json:
        print_json(answer)
        return
    table = Table("site", "kind", "health", "collections", "compute", "quirks")
    for site in answer["sites"]:
        health = site["health"]["status"] + (f": {site['health']['reason']}" if site["health"]["reason"] else "")
        compute = ", ".join(name for name in ("dask", "kernels") if site[name])
        table.add_row(
            site["id"],
            site["kind"],
            health,
            str(len(site["collections"] or [])),
            compute,
            "; ".join(site["quirks"]),
        )
    show(table, empty="No sites are configured.")
