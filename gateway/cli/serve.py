"""``lakegate serve``: runs the gateway."""

import asyncio
import os
from pathlib import Path

import click

from edges.errors import EdgeError
from gateway.app import serve_gateway
from gateway.cli.remote import EXIT_FAILED, EXIT_USAGE, CommandFailed
from gateway.config import ConfigError, read_settings
from gateway.flaws import flaws
from gateway.left_behind import LeftBehind
from gateway.logs import set_up_logs
from gateway.records import RecordsUnavailable
from harvest.errors import HarvestError
from quotas.errors import QuotaError

_NOT_NOW = (OSError, EdgeError, LeftBehind, RecordsUnavailable, QuotaError, HarvestError)
"""What keeps a gateway from starting that its operator can mend: told in one line."""


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file (YAML).")
@click.option("--port", type=int, help="Overrides server.port.")
@click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
)
@click.option("--json", "as_json", is_flag=True, help="Write logs as JSON lines.")
def serve(file: Path, port: int | None, log_level: str, as_json: bool) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; requests under way are finished first."""
    environ = dict(os.environ) | ({"LAKEGATE__SERVER__PORT": str(port)} if port is not None else {})
    try:
        settings = read_settings(file, environ)
    except ConfigError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error
    wrong = flaws(settings)
    if wrong:
        raise CommandFailed("\n".join(f"{file}: {line}" for line in wrong), EXIT_USAGE)
    set_up_logs(log_level, as_json=as_json)
    try:
        asyncio.run(serve_gateway(settings, ready=lambda url: click.echo(f"Lakegate listens at {url}")))
    except _NOT_NOW as error:
        raise CommandFailed(str(error), EXIT_FAILED) from error
