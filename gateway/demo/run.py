"""Leads the demo: one at a time in a folder, everything started in order, the tour, and a clean end however it ends."""

import asyncio
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from edges.model import Frozen
from gateway.demo import setup
from gateway.demo.processes import (
    Processes,
    Program,
    ProgramFailed,
    ending,
    inherited_environment,
    missing_programs,
)
from gateway.demo.world import World, new_world, save_world

_MARK = ".lakegate-demo"
_MODULES = (
    "dask_gateway",
    "dask_gateway_server",
    "kernel_gateway",
    "ipykernel",
    "odc.stac",
    "pystac_client",
    "rasterio",
)


class DemoOptions(Frozen):
    """``port`` is the gateway's; ``once``: end after the tour."""

    folder: str
    port: int
    once: bool


class DemoRefused(Exception):
    """The demo cannot start; the message says why and what would help."""


def run_demo(options: DemoOptions, console: Console) -> int:
    """Run the demo; return the exit code: 0 if every step held, 1 if not, 2 if it could not start, 130 on Ctrl-C."""
    folder = Path(options.folder).expanduser().resolve()
    try:
        _check_installed()
        with _alone(folder):
            _check_port(options.port)
            _empty(folder)
            return asyncio.run(_Demo(options, folder, console).run())
    except DemoRefused as refusal:
        console.print(f"[red]The demo cannot start:[/red] {refusal}", highlight=False, soft_wrap=True)
        return 2


class _Demo:
    def __init__(self, options: DemoOptions, folder: Path, console: Console) -> None:
        self._options = options
        self._console = console
        self._world: World = new_world(folder, options.port)

    async def run(self) -> int:
        """Run until the end of the tour (``once``), a failure, or a signal."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        leading = asyncio.create_task(self._lead(stop), name="demo")
        stopping = asyncio.create_task(stop.wait(), name="signals")
        await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        interrupted = not leading.done()
        leading.cancel()
        stopping.cancel()
        results = await asyncio.gather(leading, stopping, return_exceptions=True)
        if interrupted:
            self._console.print("\nStopped; nothing is left running.")
            return 0 if self._toured(results[0]) else 130
        if isinstance(results[0], BaseException):
            raise results[0]
        return int(results[0])

    @staticmethod
    def _toured(result: object) -> bool:
        return isinstance(result, asyncio.CancelledError) and "toured" in result.args

    async def _lead(self, stop: asyncio.Event) -> int:
        world, started = self._world, time.perf_counter()
        self._console.print(f"[bold]Lakegate demo[/bold] in {world.folder}", highlight=False)
        save_world(world)
        setup.write_files(world)
        try:
            async with Processes(logs=world.path / "logs", environment=inherited_environment()) as processes:
                await self._start(processes)
                code = await processes.run(self._program("gateway.demo.tour"))
                _check_tour(code)
                self._console.print(f"\nThe whole tour took {time.perf_counter() - started:.0f} s.", highlight=False)
                if code != 0 or self._options.once:
                    return code
                self._console.print(_what_next(world), highlight=False, soft_wrap=True)
                await self._stay(processes)
                return 0
        except ProgramFailed as failure:
            self._console.print(f"\n[red]The demo broke off:[/red] {failure}", highlight=False, soft_wrap=True)
            return 1

    async def _start(self, processes: Processes) -> None:
        world = self._world
        with self._timed("S3 servers of both edges"):
            await _all(processes, setup.storage_programs(world))
        with self._timed("scenes made, uploaded, catalogued"):
            if await processes.run(self._program("gateway.demo.stock")) != 0:
                raise ProgramFailed("the scenes could not be made")
        with self._timed("catalogues, Dask Gateways, kernel gateways, and the hub's files"):
            await _all(processes, setup.site_programs(world))
        with self._timed(f"gateway at {world.url}"):
            await processes.start(setup.gateway_program(world))

    def _program(self, module: str) -> Program:
        return Program(
            name=module.rpartition(".")[2],
            command=(sys.executable, "-m", module, str(self._world.path / "world.json")),
        )

    async def _stay(self, processes: Processes) -> None:
        try:
            reason = await asyncio.shield(processes.failure)
        except asyncio.CancelledError:
            raise asyncio.CancelledError("toured") from None
        self._console.print(f"\n[yellow]{reason}[/yellow]\nThe others go on; Ctrl-C ends the demo.", highlight=False)
        await asyncio.Event().wait()

    @contextmanager
    def _timed(self, title: str) -> Iterator[None]:
        started = time.perf_counter()
        self._console.print(f"  starting: {title} …", highlight=False)
        yield
        self._console.print(f"  [green]ready[/green]: {title} ({time.perf_counter() - started:.1f} s)", highlight=False)


def _check_tour(code: int) -> None:
    if code < 0:
        raise ProgramFailed(f"the tour ended unexpectedly ({ending(code)})")


async def _all(processes: Processes, programs: list[Program]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(processes.start(program), name=f"start {program.name}")
    except* ProgramFailed as failures:
        raise ProgramFailed("\n".join(str(failure) for failure in failures.exceptions)) from None


def _check_installed() -> None:
    missing = [name for name in _MODULES if importlib.util.find_spec(name.partition(".")[0]) is None]
    missing += missing_programs([setup.RCLONE, setup.DASK_GATEWAY_SERVER])
    if missing:
        raise DemoRefused(f"missing: {', '.join(missing)}. Install them by: pip install 'lakegate[demo]'")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two demos in one folder would overwrite each other."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.parent / f"{folder.name}.lock"
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise DemoRefused(
                f"another demo (process {file.read().strip() or '?'}) runs in {folder}; "
                "end it, or give this one its own --dir and --port"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoRefused(
                f"port {port} is in use or not allowed ({error.strerror}); choose another by --port"
            ) from None


def _empty(folder: Path) -> None:
    """Start from nothing; but never delete what is not ours."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise DemoRefused(f"{folder} is not empty and no demo's; choose another by --dir")
    try:
        shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None
        folder.mkdir(mode=0o700)
        (folder / _MARK).touch()
    except OSError as error:
        raise DemoRefused(f"{folder} cannot be written: {error.strerror}") from error


def _what_next(world: World) -> str:
    return f"""
[bold]Everything is up.[/bold] Gateway {world.url}   sites {world.url}/sites   API {world.url}/api.html

In another terminal:  source {world.path}/env
  lakegate search --collections demo-s2-l2a        the federated search
  lakegate place --collections demo-s2-l2a         where to compute, and why
  lakegate quota show                              what your group has left
  python -c "import dask_gateway; print(dask_gateway.Gateway().list_clusters())"
  jupyter server --gateway-url=$LAKEGATE_URL       notebooks whose kernels run at the edges
  kill one of the demo's processes and search again: the answer says which site is missing.

Ctrl-C ends it and leaves nothing running."""
