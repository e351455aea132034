"""Heads of HTTP messages: what is certain is read, everything else is refused."""

import doctest

import pytest

from edges.lines import heads
from edges.lines.heads import LineError, request_head, response_head


def test_the_examples_hold():
    assert doctest.testmod(heads).failed == 0


def test_a_header_cannot_break_out_of_its_line():
    for value in ("a\r\nX: y", "a\nb", "a\0b"):
        with pytest.raises(LineError):
            request_head("GET", "/", [("If-Range", value)])


def test_names_are_met_in_any_case_and_values_without_the_space_around_them():
    head = response_head(b'HTTP/1.1 206 Partial Content\r\ncontent-length:  7 \r\nETAG: "a"')
    assert (head.status, head.length, head.headers["ETag"], head.keep) == (206, 7, '"a"', True)


def test_a_head_that_is_too_long_to_be_remembered_is_read_all_the_same():
    told = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX: " + b"x" * 5000
    assert response_head(told).length == 7
    with pytest.raises(LineError):
        response_head(told + b"\r\nNo colon")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200 OK",
        b"HTTP/1.1 20 OK",
        b"200 OK",
        b"",
        b"HTTP/1.1 200 OK\r\nNo colon",
        b"HTTP/1.1 200 OK\r\nFolded: a\r\n b",
        b"HTTP/1.1 200 OK\r\nSpace : a",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(raw):
    with pytest.raises(LineError):
        response_head(raw)


@pytest.mark.parametrize(
    ("raw", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Close", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1", False),
        (b"HTTP/1.1 200 OK", False),
        (b"HTTP/1.1 204 No Content", True),
    ],
)
def test_a_line_is_kept_only_where_the_end_of_the_body_is_certain(raw, keep):
    assert response_head(raw).keep is keep


def test_the_answer_to_a_head_request_has_no_body_whatever_length_it_tells():
    assert response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5", bodiless=True).length == 0
