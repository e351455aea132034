"""``lakegate sites``: who is there and how they are, and how their words map to ours."""

import click
import msgspec
import yaml
from rich.table import Table

from edges.profiles.load import ProfileError, load_profile, shipped_profiles
from gateway.cli.remote import Remote, print_json, remote_options
from gateway.cli.site_report import show_site
from gateway.cli.tables import show


@click.group(invoke_without_command=True)
@click.option("--profiles", is_flag=True, help="List the shipped harmonisation profiles instead.")
@click.option("--profile", metavar="NAME", help="Print a harmonisation profile, shipped or by its path, instead.")
@remote_options
@click.pass_context
def sites(context: click.Context, remote: Remote, as_json: bool, profiles: bool, profile: str | None) -> None:
    """List the sites with their health, what they hold and what they were caught at."""
    if context.invoked_subcommand is not None:
        return
    if profiles:
        _list_profiles(as_json=as_json)
        return
    if profile is not None:
        _print_profile(profile, as_json=as_json)
        return
    answer = remote.call("GET", "/sites")
    if as_json:
        print_json(answer)
        return
    table = Table("site", "kind", "profile", "health", "collections", "compute", "quirks")
    for site in answer["sites"]:
        health = site["health"]["status"] + (f": {site['health']['reason']}" if site["health"]["reason"] else "")
        compute = ", ".join(name for name in ("dask", "kernels") if site[name])
        table.add_row(
            site["id"],
            site["kind"],
            site["profile"] or "",
            health,
            str(len(site["collections"] or [])),
            compute,
            "; ".join(site["quirks"]),
        )
    show(table, empty="No sites are configured.")


sites.add_command(show_site)


def _list_profiles(*, as_json: bool) -> None:
    found = [load_profile(name) for name in shipped_profiles()]
    if as_json:
        print_json({"profiles": [{"name": each.name, "title": each.title, "source": each.source} for each in found]})
        return
    table = Table("profile", "title", "collections", "properties", "of")
    for each in found:
        table.add_row(each.name, each.title, str(len(each.collections)), str(len(each.properties)), each.source)
    show(table, empty="No profiles are shipped.")


def _print_profile(name: str, *, as_json: bool) -> None:
    try:
        profile = load_profile(name)
    except ProfileError as error:
        raise click.ClickException(str(error)) from error
    told = {key: value for key, value in msgspec.to_builtins(profile).items() if value}
    if as_json:
        print_json(told)
        return
    told["properties"] = [{key: value for key, value in rule.items() if value} for rule in told.get("properties", [])]
    click.echo(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), nl=False)
