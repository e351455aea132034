import pytest

from edges.excerpts import MAX_EXCERPT, excerpt


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", ""),
        (b'{"detail": "no field x", "title": "Bad"}', "no field x"),
        (b'{"code": "E1", "description": "bad\\u0000\\u001b[31m filter"}', "bad [31m filter"),
        (b"<html><body><h1>502 Bad Gateway</h1></body></html>", "502 Bad Gateway"),
        (b'{"detail": [{"loc": 1}]}', '{"detail": [{"loc": 1}]}'),
        (b'{"message": "GET https://data.example/a?X-Amz-Signature=abc failed"}', "GET (address) failed"),
        (b"\xff\xfe broken", "�� broken"),
        ("\u202eevil\u2066 text".encode(), "evil text"),
        (b"[" * 4_000, None),
    ],
)
def test_an_error_of_a_site_is_told_as_one_short_line_of_print(body: bytes, told: str | None) -> None:
    found = excerpt(body)
    assert told is None or found == told
    assert len(found) <= MAX_EXCERPT
    assert found.isprintable()


def test_a_long_error_is_cut() -> None:
    assert excerpt(b"x" * 100_000) == "x" * (MAX_EXCERPT - 3) + "..."
