"""``lakegate site``: what an edge's operator runs beside the data."""

import asyncio
import json
import logging
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path

import aiohttp
import click
from aiohttp import web
from isal import isal_zlib
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from edges.catalogues.sources import UnreadableInput
from edges.catalogues.sqlite import SqliteCatalogue
from edges.catalogues.sqlite_load import LoadReport
from edges.catalogues.sqlite_load import Progress as Loaded
from edges.errors import EdgeError
from edges.model import Frozen
from edges.settings import Secret
from edges.site.app import SiteServerSettings, serving
from gateway import background
from gateway.cli.remote import EXIT_FAILED, EXIT_USAGE, CommandFailed
from gateway.config import ConfigError, read_group
from gateway.quota.edge_face import EdgeQuotaFace
from gateway.quota.edge_settings import EdgeQuotaSettings
from gateway.quota.edge_slices import GatewaySlices, SliceKeeper
from quotas.errors import QuotaError
from quotas.escrow import EdgePurse

_log = logging.getLogger(__name__)
_DEFAULT_PORT = 8500


@click.group()
def site() -> None:
    """Serve a site's own items, so that a gateway can find them."""


@site.command()
@click.option(
    "--items",
    "paths",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Items to load: .json, .ndjson (also .gz), .parquet, or a folder of them. Can be repeated.",
)
@click.option("--db", type=click.Path(path_type=Path, dir_okay=False), help="Keep the catalogue in this file.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=_DEFAULT_PORT, show_default=True, help="The port to listen at; 0 takes a free one.")
@click.option("--title", default="Lakegate site", show_default=True, help="What the site is called.")
@click.option(
    "--write-token-file",
    "token_file",
    type=click.Path(exists=True, dir_okay=False),
    help="Who sends the token in this file may write.",
)
@click.option("--public-url", default="", help="What links are built from, where a proxy stands in front.")
@click.option("--strict", is_flag=True, help="Stop at the first item that cannot be loaded.")
@click.option(
    "--watch", "watch_seconds", type=float, default=0.0, help="Load what has changed, every so many seconds; 0: never."
)
@click.option(
    "--escrow",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Let the edge's services reserve from slices of the quota, as this file says (docs/quotas.md).",
)
@click.option("--json", "as_json", is_flag=True, help="Tell the address and what was loaded as one line of JSON.")
def serve(
    *,
    paths: tuple[Path, ...],
    db: Path | None,
    host: str,
    port: int,
    title: str,
    token_file: str | None,
    public_url: str,
    strict: bool,
    watch_seconds: float,
    escrow: Path | None,
    as_json: bool,
) -> None:
    """Serve items as a STAC API until SIGTERM or Ctrl-C.

    Without --db the catalogue lives in a temporary file. Loading again takes only what has changed.
    """
    if not paths and db is None:
        raise click.UsageError("give --items, or --db with a catalogue that was loaded before")
    aiohttp.set_zlib_backend(isal_zlib)  # a tenth of the cost of zlib for the same answers
    settings = SiteServerSettings(
        host=host, port=port, title=title, public_url=public_url, write_token=_token(token_file)
    )
    with _database(db) as file:
        try:
            beside = Beside(strict=strict, watch_seconds=watch_seconds, escrow=_escrow(escrow))
            asyncio.run(_serve(list(paths), file, settings, beside, as_json=as_json))
        except (EdgeError, UnreadableInput, QuotaError, LookupError) as error:
            raise CommandFailed(str(error), EXIT_FAILED) from error
        except OSError as error:
            raise CommandFailed(f"cannot listen at {host}:{port}: {error.strerror or error}", EXIT_FAILED) from error


def _token(file: str | None) -> str | None:
    try:
        return None if file is None else Secret(file=file).reveal()
    except LookupError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error


@contextmanager
def _database(db: Path | None) -> Iterator[Path]:
    if db is not None:
        yield db
        return
    with tempfile.TemporaryDirectory(prefix="lakegate-site-") as folder:
        yield Path(folder) / "catalogue.db"


class Beside(Frozen):
    """How items are loaded, and what runs beside the catalogue."""

    strict: bool
    watch_seconds: float
    escrow: EdgeQuotaSettings | None


def _escrow(file: Path | None) -> EdgeQuotaSettings | None:
    try:
        return None if file is None else read_group(file, EdgeQuotaSettings)
    except ConfigError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error


@asynccontextmanager
async def _spending(settings: EdgeQuotaSettings | None) -> AsyncIterator[list[web.RouteDef]]:
    """Keep slices of the quota, where the edge has some; gives the routes by which its services reserve."""
    if settings is None:
        yield []
        return
    secret = settings.local_secret.reveal()
    async with EdgePurse(Path(settings.state)) as purse, aiohttp.ClientSession() as session:
        keeper = SliceKeeper(purse=purse, gateway=GatewaySlices(settings, session), settings=settings)
        async with keeper.running():
            yield EdgeQuotaFace(purse=purse, keeper=keeper, secret=secret).routes()


async def _serve(paths: list[Path], db: Path, settings: SiteServerSettings, beside: Beside, *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with SqliteCatalogue(db, name="site") as catalogue:
        report = await _load(catalogue, paths, stop, strict=beside.strict)
        if report is None:
            return
        async with (
            _spending(beside.escrow) as more,
            serving(catalogue, settings, more) as url,
            _watching(catalogue, paths, beside.watch_seconds),
        ):
            _tell(url, report, as_json=as_json)
            await stop.wait()


async def _load(
    catalogue: SqliteCatalogue, paths: list[Path], stop: asyncio.Event, *, strict: bool
) -> LoadReport | None:
    """Load with a bar on standard error; None where the user stopped it."""
    with _bar() as bar:
        task = bar.add_task("loading", total=None)

        def show(loaded: Loaded) -> None:
            bar.update(task, completed=loaded.bytes_done, total=loaded.bytes, description=f"{loaded.items} items")

        loading = asyncio.ensure_future(catalogue.load(paths, strict=strict, progress=show))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not loading.done():
            loading.cancel()
        with suppress(asyncio.CancelledError):
            return await loading
    return None


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _watching(catalogue: SqliteCatalogue, paths: list[Path], seconds: float) -> AbstractAsyncContextManager[None]:
    """Load again and again what has changed, as long as the context is open."""
    return background.beside(_watch(catalogue, paths, seconds), name="watch items") if seconds > 0 else nullcontext()


async def _watch(catalogue: SqliteCatalogue, paths: list[Path], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            report = await catalogue.load(paths)
        except (EdgeError, UnreadableInput, OSError) as error:
            _log.warning("items were not loaded", extra={"reason": str(error)})
            continue
        if report.items:
            _log.info("items loaded", extra={"items": report.items, "bad": report.bad})


def _tell(url: str, report: LoadReport, *, as_json: bool) -> None:
    counts = {
        "files": report.files,
        "unchanged": report.unchanged,
        "items": report.items,
        "added": report.added,
        "replaced": report.replaced,
        "bad": report.bad,
    }
    for line in report.told:
        click.echo(f"skipped {line}", err=True)
    if report.bad > len(report.told):
        click.echo(f"skipped {report.bad - len(report.told)} more", err=True)
    if as_json:
        click.echo(json.dumps({"url": url, "loaded": counts}))
    else:
        click.echo(f"{report.items} items loaded from {report.files} files; listening at {url}")
