"""What a source's answer means: promises, refusals, changes."""

import pytest

from harvest.errors import NotYet, SourceChanged, SourceFailed
from harvest.http_answers import MAX_WAIT, Opened, judge, redirect_of

ETAG = {"ETag": '"v1"'}


def test_a_whole_answer_tells_length_and_validator():
    assert judge(200, {"Content-Length": "9"} | ETAG, 0, None) == Opened(9, '"v1"', 0, framed=True)


def test_a_weak_etag_is_no_validator_but_a_date_is():
    weak = {"ETag": 'W/"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Content-Length": "1"}
    assert judge(200, weak, 0, None).validator == "Mon, 01 Jan 2024 00:00:00 GMT"


def test_a_body_without_length_or_chunks_has_no_end_that_can_be_told():
    assert not judge(200, {}, 0, None).framed
    assert judge(200, {"Transfer-Encoding": "chunked"}, 0, None).framed


def test_a_resumed_answer_must_begin_where_it_was_asked_to():
    told = {"Content-Range": "bytes 5-9/10"} | ETAG
    assert judge(206, told, 5, '"v1"') == Opened(10, '"v1"', 0)
    with pytest.raises(SourceFailed, match="another range"):
        judge(206, told, 4, '"v1"')


def test_a_server_without_ranges_is_read_over_if_the_file_is_the_same():
    assert judge(200, {"Content-Length": "10"} | ETAG, 5, '"v1"') == Opened(10, '"v1"', 5)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, {"ETag": '"v2"'}), (206, {"ETag": '"v2"', "Content-Range": "bytes 5-9/10"}), (200, {}), (416, {})],
)
def test_other_bytes_than_before_are_noticed(status, headers):
    with pytest.raises(SourceChanged):
        judge(status, headers, 5, '"v1"')


@pytest.mark.parametrize(
    ("status", "again"), [(404, False), (403, False), (410, False), (500, True), (503, True), (429, True)]
)
def test_refusals_tell_whether_asking_again_can_help(status, again):
    with pytest.raises(SourceFailed) as raised:
        judge(status, {"Retry-After": "7"}, 0, None)
    assert (raised.value.again, raised.value.after) == (again, 7.0)


def test_data_that_is_being_prepared_is_asked_for_later():
    with pytest.raises(NotYet) as raised:
        judge(202, {}, 0, None)
    assert raised.value.after == 60.0


@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {"Content-Type": "text/html; charset=utf-8"}])
def test_what_is_not_the_file_is_refused(headers):
    with pytest.raises(SourceFailed):
        judge(200, headers, 0, None)


@pytest.mark.parametrize(
    ("told", "after"),
    [
        ("3", 3.0), ("99999999999", MAX_WAIT), ("soon", None), ("Fri, 01 Jan 9999 00:00:00 GMT", MAX_WAIT),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None), ("\u00b2", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_never_without_end(told, after):
    with pytest.raises(SourceFailed) as raised:
        judge(503, {"Retry-After": told}, 0, None)
    assert raised.value.after == after


def test_a_length_of_other_digits_than_those_of_ascii_is_none():
    assert judge(200, {"Content-Length": "\u00b2"}, 0, None).total is None


def test_only_redirects_send_us_elsewhere():
    assert redirect_of(302, {"Location": "/x"}) == "/x"
    assert redirect_of(200, {"Location": "/x"}) is None
