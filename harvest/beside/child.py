"""What a process beside runs: ``python -m harvest.beside.child NUMBER``, the number of its socket.

It carries out claims that it is given, and ends with its socket: also where the other side was killed.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack

import msgspec

from edges.http import Outbound
from edges.request_ids import knowing, read_traced
from harvest.beside.tellers import FORESEEN, PipeTeller, Post, PostHandler, told_of
from harvest.beside.wire import Down, Ended, Given, Key, Pipe
from harvest.carrying import settling_of
from harvest.desk_far import FarDesk, FarTurns
from harvest.desk_wire import Taken, Terms
from harvest.given_buckets import GivenBuckets
from harvest.means import Means
from harvest.politeness import Manners
from harvest.settling import Settles

logger = logging.getLogger(__name__)

_DOWN = msgspec.msgpack.Decoder(Down)


class Child:
    """Carries out what comes by a pipe."""

    def __init__(self, *, settling: Settles, buckets: GivenBuckets, teller: PipeTeller, post: Post) -> None:
        self._settling = settling
        self._buckets = buckets
        self._teller = teller
        self._post = post
        self._works: dict[Key, asyncio.Task[None]] = {}

    async def take(self, down: Down) -> None:
        """Begin what is given, stop what is not wanted any more, and pass answers on."""
        if down.asked:
            self._post.alive()
        for answered in down.answers:
            self._teller.answered(answered)
        for key in down.dropped:
            if key in self._works:
                self._works[key].cancel()
        await self._buckets.learn(down.buckets)
        for given in down.given:
            key = given.claim.id, given.claim.fence
            self._works[key] = asyncio.create_task(self._settled(key, given), name=f"harvest-object-{key[0]}")

    async def leave(self) -> None:
        """Stop all work: nothing that it does can be told any more."""
        works = list(self._works.values())
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def _settled(self, key: Key, given: Given) -> None:
        try:
            with knowing(read_traced(given.known)):
                self._post.ended(Ended(key=key, ending=await self._settling.settle(given.claim)))
        except Exception as error:  # the boundary of a piece of work: a fault in one must not end the rest
            if not isinstance(error, FORESEEN):
                logger.exception("harvest work broke")
            failed, reason = told_of(error)
            self._post.ended(Ended(key=key, failed=failed, reason=reason))
        finally:
            del self._works[key]


async def work_by(raw: socket.socket) -> None:
    """Carry out what comes by a socket, until the other side is gone."""
    _, pipe = await asyncio.get_running_loop().create_unix_connection(Pipe, sock=raw)
    first = await pipe.receive()
    terms = None if first is None else _DOWN.decode(first).terms
    if terms is None:
        return
    post = Post(pipe)
    logging.basicConfig(level=logging.INFO, handlers=[PostHandler(post)], force=True)
    async with AsyncExitStack() as stack:
        child = await _child(stack, terms, PipeTeller(post), post)
        post.alive()
        try:
            while (frame := await pipe.receive()) is not None:
                await child.take(_DOWN.decode(frame))
        finally:
            await child.leave()


async def _child(stack: AsyncExitStack, terms: Terms, teller: PipeTeller, post: Post) -> Child:
    carrying = terms.carrying
    outbound = await stack.enter_async_context(Outbound(allowed=terms.allowed))
    buckets = GivenBuckets(stack, outbound.lines, carrying.stall_seconds)
    turns = FarTurns(line=teller, seconds=carrying.claim_seconds)
    keeping = asyncio.create_task(turns.keep(), name="harvest-turns")
    stack.callback(keeping.cancel)
    manners = Manners(terms.politeness, origins=terms.origins, turns=turns)
    means = Means(lines=outbound.lines, check=outbound.check, places=buckets.places, manners=manners)
    settling = settling_of(FarDesk(line=teller, taken=_taken), carrying, means, terms.workers)
    return Child(settling=settling, buckets=buckets, teller=teller, post=post)


async def _taken(taken: Taken) -> None:
    """Take note of nothing: claims are given, not taken."""


def main(arguments: list[str]) -> None:
    """Run until the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the other side ends us when it has ended
    asyncio.run(work_by(socket.socket(fileno=int(arguments[1]))))


if __name__ == "__main__":
    main(sys.argv)
    os._exit(0)  # a thread that waits for a store must keep nobody waiting: nothing is to be saved
