"""Members of archives: found in what zipfile writes, and refused where an archive lies."""

import contextlib
import io
import struct
import warnings
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.errors import SourceFailed
from harvest.zip_entries import END_BYTES, data_span, directory, find, header_span, record64


def written(members, *, method=zipfile.ZIP_DEFLATED, comment=b"", before=b"") -> bytes:
    buffer = io.BytesIO()
    buffer.write(before)
    with zipfile.ZipFile(buffer, "a" if before else "w", method) as archive:
        archive.comment = comment
        for name, body in members:
            archive.writestr(name, body)
    return buffer.getvalue()


def entry_of(archive: bytes, member: str):
    total, tail = len(archive), archive[-END_BYTES:]
    wide = record64(tail, total)
    record = archive[wide.start : wide.start + wide.size] if wide else None
    told = directory(tail, record, total)
    return find(archive[told.start : told.start + told.size], member, total)


def packed_of(archive: bytes, member: str) -> bytes:
    entry = entry_of(archive, member)
    header = header_span(entry, len(archive))
    data = data_span(entry, archive[header.start : header.start + header.size], len(archive))
    return archive[data.start : data.start + data.size]


@pytest.mark.parametrize("comment", [b"", b"a comment with PK\x05\x06 within"])
def test_a_stored_member_is_found_where_it_is(comment):
    archive = written([("a/B02.tif", b"two"), ("a/B03.tif", b"three")], method=zipfile.ZIP_STORED, comment=comment)
    assert packed_of(archive, "a/B03.tif") == b"three"


def test_names_are_found_as_they_are_and_percent_encoded():
    archive = written([("über maß.tif", b"x")], method=zipfile.ZIP_STORED)
    assert packed_of(archive, "%C3%BCber%20ma%C3%9F.tif") == packed_of(archive, "über maß.tif") == b"x"


def test_zip64_is_read():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("big", "w", force_zip64=True) as member:
        member.write(b"x" * 1000)
    assert packed_of(buffer.getvalue(), "big") == b"x" * 1000


def test_a_directory_told_by_zip64_alone_is_read():
    plain = written([("x", b"body")], method=zipfile.ZIP_STORED)
    end = plain.rindex(b"PK\x05\x06")
    size, start = struct.unpack_from("<2I", plain, end + 12)
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert packed_of(plain[:end] + record + locator + last, "x") == b"body"


def test_what_is_not_there_or_there_twice_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        archive = written([("x", b"1"), ("x", b"2")])
    with pytest.raises(SourceFailed, match="several members"):
        entry_of(archive, "x")
    with pytest.raises(SourceFailed, match="no such member"):
        entry_of(archive, "y")


def test_a_bomb_is_refused_before_it_is_unpacked():
    with pytest.raises(SourceFailed, match="250 times"):
        entry_of(written([("bomb", bytes(64 << 20))]), "bomb")


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (8, b"\x01\x00", "encrypted"),
        (10, b"\x0c\x00", "method 12"),
        (42, b"\xf0\xff\xff\x00", "behind its end"),
        (0, b"PKxx", "breaks off"),
    ],
)
def test_an_entry_that_cannot_be_read_says_why(at, value, why):
    archive = bytearray(written([("x", b"body")]))
    entry = archive.rindex(b"PK\x01\x02")
    archive[entry + at : entry + at + len(value)] = value
    with pytest.raises(SourceFailed, match=why):
        entry_of(bytes(archive), "x")


def test_a_header_of_another_member_is_refused():
    archive = bytearray(written([("x", b"body")]))
    archive[30:31] = b"y"
    with pytest.raises(SourceFailed, match="contradict"):
        packed_of(bytes(archive), "x")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_damaged_there_is_an_answer_or_a_refusal_and_nothing_else(data):
    archive = bytearray(written([("x", b"body" * 50), ("y", b"other")]))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(archive[: data.draw(st.integers(0, len(archive)))]) if data.draw(st.booleans()) else bytes(archive)
    with contextlib.suppress(SourceFailed):
        assert len(packed_of(cut, "x")) <= len(cut)
