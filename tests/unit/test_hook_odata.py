"""OData's options: what is chosen and in which order, and that no text breaks or exhausts the reader."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edges.errors import InvalidInput
from gateway.hook.odata import options_of, page
from gateway.hook.odata_filter import MAX_DEPTH, MAX_FILTER, filter_test

NAMES = ("Id", "Name", "Status", "SubmissionDate", "Priority", "InputProductReference/Reference", "Kinds", "Online")
ENTRIES = [
    {"Id": "9", "Name": "it's one", "Status": "queued", "SubmissionDate": "2024-05-14T12:33:18.113Z", "Priority": 1},
    {"Id": "10", "Name": "two", "Status": "completed", "SubmissionDate": "2024-09-02T16:17:22.942Z", "Priority": None}
    | {"InputProductReference": {"Reference": "S2A"}, "Kinds": ["GRD", "SLC"], "Online": True},
    {"Id": "11", "Name": "THREE", "Status": "failed", "SubmissionDate": None, "Priority": 5, "Online": False},
]


def found(text):
    test = filter_test(text, NAMES)
    return [each["Id"] for each in ENTRIES if test(each)]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id eq 9", ["9"]),
        ("ID eq '10'", ["10"]),
        ("Id gt 9", ["10", "11"]),
        ("(Name eq 'two')", ["10"]),
        ("Name eq 'it''s one'", ["9"]),
        ("endswith(Name,'wo')", ["10"]),
        ("startswith(tolower(Name), 'th') eq true", ["11"]),
        ("contains(Name,'o') eq false", ["11"]),
        ("contains(Kinds,'SL')", ["10"]),
        ("Kinds eq 'GRD'", ["10"]),
        ("not (Status eq 'queued' or Status eq 'failed')", ["10"]),
        ("Status in ('queued','failed') and Priority ge 1", ["9", "11"]),
        ("Priority eq null", ["10"]),
        ("Priority ne null", ["9", "11"]),
        ("SubmissionDate gt 2024-06-01T00:00:00Z", ["10"]),
        ("SubmissionDate lt 2024-05-14T14:33:18.114+02:00", ["9"]),
        ("InputProductReference/Reference eq 'S2A'", ["10"]),
        ("Online eq true", ["10"]),
        ("length(Name) eq 3", ["10"]),
        ("Name eq 5", []),
    ],
)
def test_a_filter_chooses_what_it_says(text, ids):
    assert found(text) == ids


@pytest.mark.parametrize(
    "text",
    [
        "(",
        "Name eq",
        "Name 'x'",
        "Name eq 'x",
        "Name eq 'x' and",
        "Name eq 'x') or (Id eq 1",
        "Nothing eq 1",
        "Name eq 'x'; drop table orders",
        "__class__ eq 1",
        "Id add 1 eq 2",
        "contains(Name)",
        "SubmissionDate gt 2024-99-99T00:00:00Z",
        "Name eq 'x' " + "or Name eq 'x' " * 400,
        "(" * (MAX_DEPTH + 1) + "Id eq 1" + ")" * (MAX_DEPTH + 1),
        "not " * 1_000 + "Id eq 1",
        "tolower(" * 400 + "Name" + ")" * 400 + " eq 'x'",
        "x" * (MAX_FILTER + 1),
        "Id eq " + "9" * 200,
        "'" * 3_999,
    ],
)
def test_what_cannot_be_read_is_refused_by_name(text):
    with pytest.raises(InvalidInput) as refused:
        found(text)
    assert refused.value.field == "$filter"


_WORDS = st.sampled_from(
    [
        *("Id", "name", "eq", "ne", "and", "or", "not", "(", ")", ",", "'x'", "''", "5", "null", "in", "contains"),
        *("tolower", "2024-05-14", "true", "'", "%", "\\", "\x00", "é"),
    ]
)


@given(st.lists(_WORDS, max_size=40).map(" ".join) | st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_filter_or_is_refused(text):
    try:
        found(text)
    except InvalidInput as refused:
        assert refused.field == "$filter"  # noqa: PT017 - whether it is refused is left open


def test_pages_follow_each_other_without_loss():
    entries = [{"Id": str(number), "Name": f"n{number % 3}"} for number in range(25)]
    seen, query = [], {"$orderby": "Name desc, Id asc", "$top": "10", "$count": "true"}
    while True:
        options = options_of(query, ("Id", "Name"))
        told = page(entries, options, context="c", url="https://x.org/odata/v1/E", query=query)
        assert told["@odata.count"] == 25
        seen += [each["Id"] for each in told["value"]]
        if "@odata.nextLink" not in told:
            break
        assert told["@odata.nextLink"].startswith("https://x.org/odata/v1/E?$orderby=Name%20desc")
        query = query | {"$skip": told["@odata.nextLink"].rpartition("$skip=")[2]}
    assert seen == sorted((each["Id"] for each in entries), key=lambda each: (-(int(each) % 3), int(each)))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"$top": "1001"}, "$top"),
        ({"$top": "-1"}, "$top"),
        ({"$top": "٣"}, "$top"),
        ({"$skip": "9" * 30}, "$skip"),
        ({"$count": "maybe"}, "$count"),
        ({"$orderby": "Nothing"}, "$orderby"),
        ({"$orderby": "Name sideways"}, "$orderby"),
        ({"$expand": "Everything"}, "$expand"),
        ({"$select": "Secret"}, "$select"),
        ({"$format": "xml"}, "$format"),
        ({"$apply": "x"}, "$apply"),
    ],
)
def test_options_out_of_bounds_are_refused_by_name(query, field):
    with pytest.raises(InvalidInput) as refused:
        options_of(query, NAMES)
    assert refused.value.field == field


def test_empty_options_and_python_words_are_taken_as_clients_send_them():
    told = options_of({"$filter": "", "$orderby": "", "$count": "False", "$top": "1000", "$skip": "0"}, NAMES)
    assert (told.test, told.order, told.count, told.top) == (None, (), False, 1000)
