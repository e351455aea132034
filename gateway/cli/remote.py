"""How the sub-commands talk to a gateway: address and token from options or environment, errors as exit codes."""

import asyncio
import functools
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import click

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
"""The gateway understood and refused: quota, rights, a conflict, or a bad value."""
EXIT_UNREACHABLE = 4
"""The gateway did not answer."""
EXIT_PARTIAL = 5
"""An answer came, but not from all sites."""

JSON = Any

STREAM_SECONDS = 180.0
"""How long nothing may come of a stream: a gateway may be patient with its sites."""


class CommandFailed(click.ClickException):
    """A failed call, with the exit code for scripts, and the problem document where the gateway gave one."""

    exit_code: int  # type: ignore[misc]  # click has it on the class; each of ours has its own

    def __init__(self, message: str, exit_code: int, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.problem = problem


class Remote:
    """A gateway as seen by the command line."""

    def __init__(self, url: str, token: str | None, timeout_seconds: float) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    def call(self, method: str, path: str, body: JSON = None, headers: dict[str, str] | None = None) -> JSON:
        """Call the gateway and return the decoded JSON answer (None where there is none).

        Raises:
            CommandFailed: the gateway cannot be reached, or refuses; the message is the problem's own detail.
        """
        return asyncio.run(self._call(method, path, body, headers or {}))

    @asynccontextmanager
    async def streamed(self, method: str, path: str, body: JSON) -> AsyncIterator[AsyncIterator[bytes]]:
        """Call the gateway for an answer of any length, and give its pieces as they come.

        Raises:
            CommandFailed: the gateway cannot be reached, or refuses.
            ConnectionError: while the pieces are read: the connection broke off.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout.total, sock_read=STREAM_SECONDS)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
            try:
                response = await session.request(method, self.url + path, json=body)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise CommandFailed(
                    f"no answer from {self.url}: {error or type(error).__name__}", EXIT_UNREACHABLE
                ) from error
            async with response:
                if response.status >= 400:
                    raise _refusal(response.status, json.loads(await response.text() or "null"))
                yield _pieces(response)

    def upload(self, path: str, pieces: AsyncIterator[bytes], kind: str) -> JSON:
        """Send a body of any length as it is made, and return the decoded JSON answer.

        Raises:
            CommandFailed: the gateway cannot be reached, refuses, or the connection breaks off.
        """
        return asyncio.run(self._upload(path, pieces, kind))

    async def _upload(self, path: str, pieces: AsyncIterator[bytes], kind: str) -> JSON:
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout.total, sock_read=STREAM_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
                session.post(self.url + path, data=pieces, headers={"Content-Type": kind}) as response,
            ):
                answer = json.loads(await response.text() or "null")
                if response.status >= 400:
                    raise _refusal(response.status, answer)
                return answer
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise CommandFailed(
                f"no answer from {self.url}: {error or type(error).__name__}", EXIT_UNREACHABLE
            ) from error

    async def _call(self, method: str, path: str, body: JSON, headers: dict[str, str]) -> JSON:
        url = path if path.startswith("http") else self.url + path
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=self._timeout) as session,
                session.request(method, url, json=body, headers=headers) as response,
            ):
                text = await response.text()
                answer = json.loads(text) if text.strip() else None
                if response.status >= 400:
                    raise _refusal(response.status, answer)
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CommandFailed(
                f"no answer from {self.url}: {error or type(error).__name__}", EXIT_UNREACHABLE
            ) from error
        except json.JSONDecodeError as error:
            raise CommandFailed(f"{url} did not answer with JSON; is it a Lakegate gateway?", EXIT_FAILED) from error


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error


def _refusal(status: int, answer: JSON) -> CommandFailed:
    problem = answer if isinstance(answer, dict) else {}
    text = problem.get("detail") or problem.get("title") or problem.get("error") or str(answer)
    return CommandFailed(f"{text} (HTTP {status})", EXIT_REFUSED if status < 500 else EXIT_FAILED, problem)


def remote_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--url``, ``--token``, ``--timeout`` and ``--json``; the command receives ``remote`` and ``as_json``."""

    @click.option(
        "--url",
        envvar="LAKEGATE_URL",
        default="http://127.0.0.1:8400",
        show_default=True,
        help="The gateway.",
    )
    @click.option("--token", envvar="LAKEGATE_TOKEN", help="API token; better given as LAKEGATE_TOKEN.")
    @click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for one answer.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
    def wrapped(url: str, token: str | None, timeout: float, **rest: Any) -> Any:
        return command(remote=Remote(url, token, timeout), **rest)

    functools.update_wrapper(wrapped, command)
    return wrapped


def print_json(value: JSON) -> None:
    """Print a JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
