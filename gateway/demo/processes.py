"""Starts programs, waits until they answer, watches them, and leaves none behind.

Each program is a session of its own, so that Ctrl-C reaches only us and the order of the end is ours. If we are
killed ourselves, the kernel sends them SIGTERM. What they leave behind (workers of a killed server) falls to us,
as their sub-reaper, and is ended too.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import psutil

from edges.model import Frozen

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOP_SECONDS = 8.0
_libc = ctypes.CDLL(None, use_errno=True)


class Program(Frozen):
    """A program to start. ``ready`` is a URL that answers below 500 once it works; ``name`` is for people."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = {}
    ready: str | None = None
    ready_seconds: float = 60.0


class ProgramFailed(Exception):
    """A program ended by itself, or never answered. The message says which, how, and the end of its log."""


class Processes:
    """The running programs. ``async with`` ends them all; ``failure`` is set by the first that ends by itself."""

    def __init__(self, *, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._watches: list[asyncio.Task[None]] = []
        self._stopping = False
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        await asyncio.shield(asyncio.ensure_future(self._stop()))

    async def start(self, program: Program) -> None:
        """Start a program and wait until it answers.

        Raises:
            ProgramFailed: it cannot be started, ends, or does not answer in time.
        """
        process = await self._spawn(program)
        self._running[program.name] = process
        self._watches.append(asyncio.create_task(self._watch(program.name, process), name=f"watch {program.name}"))
        if program.ready is not None:
            await self._answering(program, process)

    async def run(self, program: Program) -> int:
        """Run a program to its end with our own output, unless another one fails first.

        Raises:
            ProgramFailed: a watched program ended meanwhile; this one was stopped.
        """
        process = await self._spawn(program, own_output=True)
        ended = asyncio.create_task(process.wait(), name=f"run {program.name}")
        waited: set[asyncio.Future[Any]] = {ended, self.failure}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not ended.done():
                await _end(process)
            await ended
        if self.failure.done():
            raise ProgramFailed(self.failure.result())
        return ended.result()

    async def _spawn(self, program: Program, *, own_output: bool = False) -> asyncio.subprocess.Process:
        log = None if own_output else (self._logs / f"{_file_name(program.name)}.log").open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment | dict(program.environment),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        except OSError as error:
            raise ProgramFailed(f"{program.name}: {program.command[0]} cannot be started: {error.strerror}") from error
        finally:
            if log is not None:
                log.close()

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if not self._stopping and not self.failure.done():
            self.failure.set_result(f"{name} ended unexpectedly ({ending(status)}){self._log_end(name)}")

    async def _answering(self, program: Program, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + program.ready_seconds
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while not await _answers(session, str(program.ready)):
                if process.returncode is not None:
                    raise ProgramFailed(
                        f"{program.name} ended at once ({ending(process.returncode)}){self._log_end(program.name)}"
                    )
                if loop.time() > end:
                    raise ProgramFailed(
                        f"{program.name} did not answer within {program.ready_seconds:g} s{self._log_end(program.name)}"
                    )
                await asyncio.sleep(0.05)

    def _log_end(self, name: str) -> str:
        path = self._logs / f"{_file_name(name)}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-8:] if path.exists() else []
        shown = "".join(f"\n    | {line[:300]}" for line in lines)
        return f"\n  its log is {path}{', which ends:' if lines else ''}{shown}"

    async def _stop(self) -> None:
        await asyncio.gather(*(_end(process) for process in reversed(self._running.values())))
        await asyncio.gather(*self._watches, return_exceptions=True)
        await asyncio.to_thread(_end_descendants)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status < 500
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask a program to end; after a while, make it."""
    if process.returncode is not None:
        return
    try:
        process.terminate()
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
    except ProcessLookupError:
        await process.wait()


def _end_descendants() -> None:
    """End and reap what our programs left behind."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(left, timeout=3)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=3)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _end_with_parent() -> None:
    """Run in the child before it becomes the program: SIGTERM when the parent dies, however it dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def ending(status: int) -> str:
    """Say how a program ended, by its exit status."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"


def _file_name(name: str) -> str:
    return name.replace(" ", "-").replace("/", "-").lower()


def inherited_environment() -> dict[str, str]:
    """Return our environment without what would steer the demo's programs from outside."""
    steering = ("LAKEGATE", "DASK_", "JUPYTER", "KG_", "AWS_", "RCLONE_", "KERNEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)}


def missing_programs(names: Sequence[str]) -> list[str]:
    """Return the programs that are not there to be started."""
    return [name for name in names if not Path(name).is_file()]
