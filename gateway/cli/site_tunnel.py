"""``lakegate site router`` and ``lakegate site tunnel``: what an edge runs so that its compute can be reached."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import click

from gateway.cli.remote import EXIT_FAILED, EXIT_USAGE, CommandFailed
from gateway.cli.site_join import site
from gateway.config import ConfigError, read_group
from gateway.edge_router import running_router
from gateway.tunnel.edge import Tunnel
from gateway.tunnel.edge_settings import EdgeTunnelSettings

__all__ = ["site"]  # with `router` and `tunnel` added, it is the command that the table names


def _address(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, int]:
    """Read ``host:port``."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"{value!r} is no host:port", ctx, param)
    return host.strip("[]"), int(port)


@site.command()
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=_address,
    default="127.0.0.1:8786",
    show_default=True,
    help="Where to listen.",
)
@click.option(
    "--proxy",
    metavar="HOST:PORT",
    callback=_address,
    required=True,
    help="The TLS comms of the edge's own Dask Gateway.",
)
@click.option(
    "--centre",
    metavar="HOST:PORT",
    callback=_address,
    required=True,
    help="The gateway: comms that the edge does not know.",
)
def router(*, listen: tuple[str, int], proxy: tuple[str, int], centre: tuple[str, int]) -> None:
    """Route the comms of Dask clients at an edge until SIGTERM or Ctrl-C: to its own clusters directly.

    Kernels are told of it by `sites[].kernels.dask_proxy` of the gateway's configuration.
    """

    @asynccontextmanager
    async def running() -> AsyncIterator[str]:
        async with running_router(listen=listen, proxy=proxy, centre=centre) as port:
            yield f"routing comms at {listen[0]}:{port}"

    try:
        asyncio.run(_until_told(running()))
    except OSError as error:
        raise CommandFailed(
            f"cannot listen at {listen[0]}:{listen[1]}: {error.strerror or error}", EXIT_FAILED
        ) from error


@site.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def tunnel(file: Path) -> None:
    """Hold a way to the edge's services open, as FILE says, until SIGTERM or Ctrl-C (docs/operations.md).

    For an edge that nobody can dial: it dials the gateway, and what the gateway asks the edge goes through that.
    """
    try:
        settings = read_group(file, EdgeTunnelSettings)
    except ConfigError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error

    @asynccontextmanager
    async def running() -> AsyncIterator[str]:
        async with Tunnel(settings).running():
            yield f"services {', '.join(settings.services)} of {settings.edge}: dialling {', '.join(settings.gateways)}"

    try:
        asyncio.run(_until_told(running()))
    except (LookupError, OSError) as error:
        raise CommandFailed(f"{file}: {error}", EXIT_FAILED) from error


async def _until_told(running: AbstractAsyncContextManager[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running as told:
        click.echo(told)
        await stop.wait()
