"""``lakegate config``: checks a configuration file, and prints its schema."""

import json
import os
from pathlib import Path

import click

from gateway.cli.remote import EXIT_REFUSED, print_json
from gateway.config import ConfigError, json_schema, read_settings
from gateway.flaws import flaws


@click.group()
def config() -> None:
    """Check a configuration file, or print its JSON Schema."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.pass_context
def check(context: click.Context, file: Path, as_json: bool) -> None:
    """Tell whether FILE can be used: unknown keys, bad values and unreadable secrets are named with their path."""
    try:
        settings = read_settings(file, os.environ)
        errors = flaws(settings)
    except ConfigError as error:
        errors = [str(error)]
    if as_json:
        print_json({"file": str(file), "valid": not errors, "errors": errors})
    else:
        for line in errors:
            click.echo(line, err=True)
        if not errors:
            edges = sum(site.kind == "edge" for site in settings.sites)
            click.echo(f"{file}: valid; {edges} edges, {len(settings.sites) - edges} hubs")
    if errors:
        context.exit(EXIT_REFUSED)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))
