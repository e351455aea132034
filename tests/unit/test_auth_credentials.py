"""Credentials, identities and cookies, without a server."""

import base64

import pytest

from gateway.auth import (
    Credential,
    Forbidden,
    Identity,
    InvalidCredentials,
    SessionCookies,
    credential_of,
    principal_for,
)
from gateway.auth.credentials import MAX_SECRET
from gateway.auth.identity import UNGROUPED
from gateway.auth.scopes import check_scope
from gateway.principal import Principal

ALICE = Identity(user="alice", groups=("eo/coast", "eo/ice"), charging_group="eo/ice", via="static:1")


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    ["Bearer s3cret", "bearer  s3cret ", "token s3cret", "jupyterhub s3cret", basic("alice:s3cret"), basic(":s3cret")],
)
def test_each_kind_of_client_is_understood(header):
    assert credential_of({"Authorization": header}, {}, None, "/") == Credential(secret="s3cret", source="header")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "s3cret",
        "Negotiate abc",
        "Basic %%%",
        "Basic YQ",
        basic("alice"),
        basic("alice:"),
        "Basic /w==",
    ],
)
def test_a_header_that_cannot_be_understood_is_not_anonymous(header):
    with pytest.raises(InvalidCredentials):
        credential_of({"Authorization": header}, {}, None, "/")


def test_absurdly_long_credentials_are_refused():
    with pytest.raises(InvalidCredentials, match="longer"):
        credential_of({"Authorization": "Bearer " + "x" * (MAX_SECRET + 1)}, {}, None, "/")


def test_a_token_in_the_address_counts_for_the_websockets_of_kernels_only():
    query = {"token": "s3cret"}
    assert credential_of({}, query, None, "/api/kernels/1/channels") == Credential(secret="s3cret", source="query")
    for path in ("/api/kernels", "/api/kernels/1", "/api/kernels/1/channels/x", "/api/kernelspecs", "/collections"):
        assert credential_of({}, query, None, path) is None
    assert credential_of({}, query, None, "/search") is None


def test_the_header_comes_before_the_address_and_that_before_the_cookie():
    headers, query = {"Authorization": "token h"}, {"token": "q"}
    keyed = {"X-API-Key": " k "}
    assert credential_of({**headers, **keyed}, query, "c", "/api/kernels/1/channels").secret == "h"
    assert credential_of(keyed, query, "c", "/api/kernels/1/channels") == Credential(secret="k", source="header")
    assert credential_of({}, query, "c", "/api/kernels/1/channels").secret == "q"
    assert credential_of({}, {}, "c", "/api/kernels") == Credential(secret="c", source="cookie")
    assert credential_of({}, {}, None, "/") is None


def test_the_charging_group_is_the_default_or_the_named_one_of_the_user():
    assert principal_for(ALICE, None).charging_group == "eo/ice"
    assert principal_for(ALICE, "eo/coast").charging_group == "eo/coast"
    assert principal_for(Identity(user="bob", groups=("a", "b")), None).charging_group == "a"
    assert principal_for(Identity(user="bob"), None).charging_group == UNGROUPED
    with pytest.raises(Forbidden, match=r"alice is not in group 'eo'; their groups: eo/coast, eo/ice"):
        principal_for(ALICE, "eo")


@pytest.mark.parametrize("wrong", [{"user": ""}, {"groups": ("a//b",)}, {"groups": ("a",), "charging_group": "b"}])
def test_an_identity_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="user"):
        Identity(**{"user": "alice", **wrong})


@pytest.mark.parametrize(
    ("scopes", "method", "path", "fits"),
    [
        ((), "DELETE", "/admin/tokens/1", True),
        (("read",), "POST", "/search", True),
        (("read",), "GET", "/jobs", True),
        (("read",), "POST", "/processes/harvest/execution", False),
        (("harvest",), "POST", "/processes/harvest/execution", True),
        (("read",), "GET", "/api/v1/clusters/", False),
        (("compute",), "POST", "/api/kernels", True),
        (("compute",), "GET", "/admin/tokens", False),
        (("admin",), "GET", "/admin/tokens", True),
    ],
)
def test_a_restricted_token_reaches_as_far_as_its_scopes(scopes, method, path, fits):
    if fits:
        check_scope(scopes, method, path)
    else:
        with pytest.raises(Forbidden, match="scope"):
            check_scope(scopes, method, path)


def test_an_admins_restricted_token_is_no_admins_unless_it_says_so():
    assert principal_for(Identity(user="root", admin=True), None).admin
    assert not principal_for(Identity(user="root", admin=True, scopes=("read",)), None).admin
    assert principal_for(Identity(user="root", admin=True, scopes=("admin",)), None).admin


def test_a_cookie_tells_its_principal_until_its_time_is_over():
    now = [1_000.0]
    cookies = SessionCookies(b"k" * 32, clock=lambda: now[0])
    principal = principal_for(ALICE, None)
    value = cookies.sign(principal, seconds=60, via="static:1")
    assert cookies.verify(value) == principal
    assert cookies.session(value).via == "static:1"
    now[0] += 60
    assert cookies.verify(value) is None


def test_a_cookie_of_another_key_or_a_changed_one_tells_nobody():
    principal = Principal(user="alice", groups=(), charging_group="users")
    cookies = SessionCookies(b"k" * 32)
    value = cookies.sign(principal, seconds=60)
    assert SessionCookies(b"j" * 32).verify(value) is None
    payload, _, mac = value.partition(".")
    forged = cookies.sign(principal, seconds=6_000).partition(".")[0]
    for wrong in (
        "",
        ".",
        "x",
        payload,
        f"{payload}.",
        f"{forged}.{mac}",
        f"{payload}.{mac[:-2]}",
        f"{value}.x",
        "é.é",
    ):
        assert cookies.verify(wrong) is None
