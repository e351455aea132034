"""How calls are timed: in turns, forwards and backwards, so that noise falls on all alike.

What came before decides whose code and data are in the caches: nobody is always the one after the longest call.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp

from benchmarks.federation.processes import HEADERS, Program

Call = Callable[[], Awaitable[Any]]
Work = TypeVar("Work")


async def in_turns(calls: Mapping[str, Call], *, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each call in each round; one round to warm up is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in _turn(calls, number):
            started = time.perf_counter()
            await call()
            if number:
                samples[name].append((time.perf_counter() - started) * 1e3)
    return samples


def _turn(works: Mapping[str, Work], number: int) -> Sequence[tuple[str, Work]]:
    given = list(works.items())
    return given[::-1] if number % 2 else given


def median(samples: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(samples, n=20, method="inclusive")[-1]


async def cpu_per_call(program: Program, calls: Sequence[Call], *, at_once: int = 8) -> float:
    """Return the CPU milliseconds that the program spends per call, ``at_once`` of them running."""
    waiting = iter(calls)

    async def worker() -> None:
        for call in waiting:
            await call()

    before = program.cpu_seconds()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return (program.cpu_seconds() - before) * 1e3 / len(calls)


def reading(
    session: aiohttp.ClientSession, url: str, *, post: object = None, headers: Mapping[str, str] | None = None
) -> Call:
    """Return a call that reads an answer whole, as bytes; anything but 200 is an error.

    Uncompressed where ``headers`` do not ask otherwise: the sites and most peers know nothing else, and what
    compression costs has a row of its own.
    """
    asked = {**HEADERS, "Accept-Encoding": "identity", **(headers or {})}

    async def call() -> bytes:
        method = "GET" if post is None else "POST"
        async with session.request(method, url, json=post, headers=asked) as response:
            body = await response.read()
            if response.status != 200:
                raise RuntimeError(f"{url} answered {response.status}: {body[:500]!r}")
            return body

    return call


async def cpu_in_turns(works: Mapping[str, tuple[Program, Sequence[Call]]], *, rounds: int) -> dict[str, list[float]]:
    """Return the CPU milliseconds that each program spends per call, in each of ``rounds`` pieces of its calls."""
    samples: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, (program, calls) in _turn(works, number):
            samples[name].append(await cpu_per_call(program, calls[number::rounds]))
    return samples


def quotient(samples: Sequence[float], others: Sequence[float]) -> float:
    """Return how much more one took than another in the same rounds: a machine that slows down hits both alike."""
    return median([one / other for one, other in zip(samples, others, strict=True)])
