"""Bodies come out as they went in, however they were coded; what swells or is none ends in an error."""

import gzip
import zlib

import pytest

from edges.lines.codings import decoded
from edges.lines.heads import LineError

TEXT = b'{"type":"FeatureCollection"}' * 9_000
BARE = zlib.compressobj(6, zlib.DEFLATED, -15)
CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT, compresslevel=0),
    "GZIP": gzip.compress(TEXT[:1_000]) + gzip.compress(TEXT[1_000:]),
    "deflate": zlib.compress(TEXT),
    " deflate ": BARE.compress(TEXT) + BARE.flush(),
    "identity": TEXT,
    "": TEXT,
}


@pytest.mark.parametrize("coding", CODED)
def test_a_body_comes_out_whole_where_it_just_fits(coding: str) -> None:
    assert decoded(CODED[coding], coding, len(TEXT)) == TEXT
    assert decoded(CODED[coding], coding, len(TEXT) - 1) is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_what_is_not_coded_as_it_says_is_refused(coding: str) -> None:
    with pytest.raises(LineError):
        decoded(b"xyz", coding, 1_000)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_cut_short_is_refused_wherever_it_is_cut(coding: str) -> None:
    for end in (1, 12, len(CODED[coding]) // 2, len(CODED[coding]) - 1):
        with pytest.raises(LineError):
            decoded(CODED[coding][:end], coding, len(TEXT))


def test_a_body_of_nothing_is_nothing_and_what_is_behind_gzip_is_dropped() -> None:
    assert decoded(b"", "gzip", 0) == b""
    assert decoded(gzip.compress(b"") + b"\0" * 100, "gzip", 0) == b""


def test_a_bomb_is_given_up_before_it_has_grown() -> None:
    assert decoded(zlib.compress(b" " * 50_000_000), "deflate", 1_000) is None
    assert decoded(gzip.compress(b"") * 10_000, "gzip", 1_000) is None
