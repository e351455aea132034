"""A refusal by quota tells all that it knows, in the shape of each face's own client."""

import json
from collections.abc import Callable

import pytest

from gateway.dask.face import error_response as dask_answer
from gateway.hda.errors import hda_error
from gateway.hook.errors import odata_error
from gateway.kernels.face import error_response as jupyter_answer
from gateway.problems import problem_of
from quotas.errors import QuotaExceeded
from quotas.model import Explanation, Refusal

FACTS = {
    "policy": "tight",
    "group": "root/eo/~alice",
    "edge": "edge-a",
    "resource": "egress_bytes",
    "limit": 70.0,
    "used": 31.0,
    "reserved": 22.0,
    "requested": 43.0,
    "position": 5,
    "contact": "ops@lake.example",
}
REFUSED = QuotaExceeded(
    Refusal(
        violated=(Explanation(**FACTS, kind="window", available_at=1_900_000_000.0, admissible=17.0),),
        retry_after=611.2,
    )
)


def _problem() -> dict:
    return json.loads(problem_of(REFUSED).body)


FACES: dict[str, tuple[int, Callable[[], str], Callable[[], dict] | None]] = {
    # what its client shows to a person, and where programs find the numbers; HDA's shape has no place for them
    "search, export, downloads, harvests": (429, lambda: _problem()["detail"], _problem),
    "Dask": (422, lambda: _body(dask_answer)["error"], lambda: _body(dask_answer)),
    "Jupyter": (429, lambda: _body(jupyter_answer)["message"], lambda: _body(jupyter_answer)),
    "HDA": (429, lambda: hda_error(_problem(), "t")["description"], None),
    "HOOK": (
        429,
        lambda: odata_error(_problem())["error"]["message"],
        lambda: odata_error(_problem())["error"]["innererror"],
    ),
}
ANSWERS = {"Dask": dask_answer, "Jupyter": jupyter_answer}


def _body(answer: Callable) -> dict:
    return json.loads(answer(REFUSED).body)


@pytest.mark.parametrize("face", FACES)
def test_a_refusal_tells_everything_in_the_words_that_its_client_shows(face: str) -> None:
    _, words, _ = FACES[face]
    said = words()
    for name in ("policy", "group", "edge", "resource", "contact"):
        assert str(FACTS[name]) in said
    for phrase in (
        "43 bytes requested",
        "53 of 70 bytes taken (31 used, 22 reserved)",
        "fits again in 612 s",
        "position 5",
        "17 bytes would fit now",
    ):
        assert phrase in said


@pytest.mark.parametrize("face", [face for face in FACES if FACES[face][2] is not None])
def test_programs_find_the_numbers_of_a_refusal(face: str) -> None:
    _, _, numbers = FACES[face]
    assert numbers is not None
    (told,) = numbers()["violated-policies"]
    assert {name: told[name] for name in FACTS} == FACTS
    assert (told["available_at"], told["unit"], told["never_fits"]) == ("2030-03-17T17:46:40+00:00", "bytes", False)


@pytest.mark.parametrize("face", FACES)
def test_a_refusal_says_in_http_when_to_come_again(face: str) -> None:
    status, _, _ = FACES[face]
    response = ANSWERS.get(face, problem_of)(REFUSED)
    assert (response.status, response.headers["Retry-After"]) == (status, "612")
