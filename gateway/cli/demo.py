"""``lakegate demo``: the main job on one machine."""

import os
from pathlib import Path

import click
from rich.console import Console

from gateway.cli.remote import EXIT_USAGE


def _default_folder() -> str:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return str(Path(state) / "lakegate" / "demo")


@click.command()
@click.option("--once", is_flag=True, help="End after the tour; exit code 0 only if every step held.")
@click.option("--port", default=8400, show_default=True, help="The gateway's port.")
@click.option(
    "--dir",
    "folder",
    default=_default_folder,
    show_default="your state folder",
    help="Where the demo writes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON, last, on standard output.")
@click.pass_context
def demo(context: click.Context, once: bool, port: int, folder: str, as_json: bool) -> None:
    """Bring up two edges, a hub and the gateway as real processes, and tour the whole main job."""
    try:
        from gateway.demo.run import DemoOptions, run_demo  # noqa: PLC0415 - needs the `demo` extra
    except ImportError as error:
        click.echo(f"The demo needs {error.name}. Install it by: pip install 'lakegate[demo]'", err=True)
        context.exit(EXIT_USAGE)
    console = Console(stderr=as_json)
    code = run_demo(DemoOptions(folder=folder, port=port, once=once), console)
    if as_json:
        click.echo(f'{{"exit_code": {code}}}')
    context.exit(code)
