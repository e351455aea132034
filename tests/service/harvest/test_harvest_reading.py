"""A part of a source is read whole, in whatever pieces it comes; what follows never depends on how it was cut."""

import os

import pytest

from edges.lines.lines import Lines
from edges.lines.sockets import READ_AT_ONCE
from harvest.means import Means
from harvest.model import Source
from harvest.reading import Patience
from harvest.sources import Sources

pytestmark = pytest.mark.service

BODY = os.urandom(5 * READ_AT_ONCE + 11)


async def parts(origin, *sizes):
    """Return the first parts of a file, of so many bytes each."""
    async with Lines() as lines:
        means = Means(lines=lines, check=lambda _: None, places={})
        sources = Sources(means=means, patience=Patience(stall=5.0, attempts=5, pause=0.01))
        async with sources.reading(Source(site="hub", href=f"{origin.url}/f")) as reading:
            kept = [await reading.read_part(size) for size in sizes]
            return [bytes(part) for part in kept]  # as they are once all are read: no part is another's room


@pytest.mark.parametrize("size", [0, 1, 1000, READ_AT_ONCE - 1, READ_AT_ONCE, 3 * READ_AT_ONCE + 7, len(BODY)])
async def test_a_part_is_what_comes_next_and_shorter_only_at_the_end(origin, size):
    origin.add("f", BODY)
    assert await parts(origin, size, len(BODY), 5) == [BODY[:size], BODY[size:], b""]


async def test_a_part_in_which_the_connection_breaks_is_the_same_as_one_in_which_it_does_not(origin):
    origin.add("f", BODY)
    origin.faults["f"] = [origin.reset_after(count) for count in (1, READ_AT_ONCE, 2 * READ_AT_ONCE + 3)]
    assert await parts(origin, len(BODY) - 1, 1) == [BODY[:-1], BODY[-1:]]


async def test_an_empty_file_is_one_empty_part(origin):
    origin.add("f", b"")
    assert await parts(origin, 0, 10) == [b"", b""]
