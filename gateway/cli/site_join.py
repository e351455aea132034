"""``lakegate site join``: makes what an edge and the gateway need of each other, and looks at the edge from outside."""

import asyncio
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from edges.settings import SiteSettings
from gateway.cli import tables
from gateway.cli.remote import EXIT_FAILED, EXIT_USAGE, CommandFailed, print_json
from gateway.cli.site import site
from gateway.config import ConfigError, read_settings
from gateway.joining.checks import Finding, look_at
from gateway.joining.papers import Joining, edge_values, gateway_part, keep_secrets, secret_command

__all__ = ["site"]  # with `join` added, it is the command that the table names


@site.group()
def join() -> None:
    """Let an edge join the gateway, and check it from outside."""


@join.command()
@click.argument("edge")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write.")
@click.option("--catalogue", required=True, help="URL of its STAC API, as the gateway reaches it.")
@click.option("--title", default="", help="What it is called.")
@click.option("--dask", default="", help="URL of its dask-gateway-server.")
@click.option("--comms", default="", help="host:port of its TLS comms, by default that of --dask.")
@click.option("--kernels", default="", help="URL of its Jupyter kernel gateway.")
@click.option("--worker-cores", default=4, show_default=True, help="Most cores of a worker.")
@click.option("--worker-memory-gib", default=16.0, show_default=True, help="Most memory of a worker.")
@click.option("--namespace", default="lakegate", show_default=True, help="Where the Secret is made.")
@click.option("--apply", "applied", is_flag=True, help="Make the Secret by kubectl, and not only print how.")
def prepare(*, into: Path, namespace: str, applied: bool, **given: Any) -> None:
    """Write the secrets and the configuration of both sides for EDGE; secrets that are there are kept.

    gateway-site.yaml goes below `sites` of the gateway's configuration, gateway-values.yaml below `config.sites` of
    the chart lakegate, edge-values.yaml is for the chart lakegate-edge.
    """
    try:
        joining = Joining(**given)
        msgspec.convert({"id": joining.edge, "kind": "edge", "catalogue": {"url": joining.catalogue}}, SiteSettings)
    except msgspec.ValidationError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error
    folder = into.resolve() / "secrets"
    try:
        keep_secrets(folder)
        (into / "gateway-site.yaml").write_text(gateway_part(joining, folder), encoding="utf-8")
        (into / "gateway-values.yaml").write_text(gateway_part(joining, None), encoding="utf-8")
        (into / "edge-values.yaml").write_text(edge_values(joining), encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{into} cannot be written: {error.strerror or error}", EXIT_FAILED) from error
    command = secret_command(joining, folder, namespace)
    if applied:
        _apply(command)
    click.echo(
        f"Written to {into}. The same Secret is needed at both sides{':' if not applied else '; here it is made.'}"
    )
    if not applied:
        click.echo(f"  {shlex.join(command)}")
    click.echo(f"Then, at the edge:\n  helm install edge helm/lakegate-edge --values {into / 'edge-values.yaml'}")
    click.echo(f"And where the gateway runs:\n  lakegate site join check {joining.edge} --config gateway.yaml")


def _apply(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"kubectl cannot be run: {error}", EXIT_FAILED) from error
    if done.returncode and "already exists" not in done.stderr:
        raise CommandFailed(done.stderr.strip() or f"kubectl failed with {done.returncode}", EXIT_FAILED)


@join.command()
@click.argument("edge")
@click.option("--config", "file", type=click.Path(path_type=Path), required=True, help="The gateway's configuration.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def check(file: Path, edge: str, as_json: bool) -> None:
    """Look at EDGE as the gateway will meet it: catalogue, clock, TLS, compute, storage, versions.

    Exits with 1 where something does not work. A small object is written to its bucket, and deleted.
    """
    try:
        settings = read_settings(file, os.environ)
    except ConfigError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error
    named = next((each for each in settings.sites if each.id == edge), None)
    if named is None:
        known = ", ".join(each.id for each in settings.sites)
        raise CommandFailed(f"{file} has no site {edge!r}; sites: {known or 'none'}", EXIT_USAGE)
    findings = asyncio.run(look_at(named))
    if as_json:
        print_json({"edge": edge, "findings": msgspec.to_builtins(findings)})
    else:
        _show(findings)
    if any(each.verdict == "bad" for each in findings):
        raise click.exceptions.Exit(EXIT_FAILED)


def _show(findings: list[Finding]) -> None:
    table = Table("part", "what", "verdict", "detail")
    for each in findings:
        table.add_row(each.part, each.what, each.verdict, each.detail)
    tables.show(table, empty="There is nothing to look at.")
