"""Orders as they come: what is taken, what is refused by name, and that no value of a secret is repeated."""

import pytest

from edges.errors import InvalidInput
from edges.settings import Secret, StorageSettings
from gateway.hook.inputs import Terms, batch_wish, production_wish
from gateway.hook.sealing import Sealer, Unsealable
from harvest.settings import HookOutput, HookSettings, HookSource, PrivateBucket

CATALOGUE, IDENTITY, S3 = "https://catalogue.example/stac", "https://identity.example/auth", "https://s3.example"
KEY = Secret(env="X")
TERMS = Terms(
    settings=HookSettings(
        items=3,
        sources=(
            HookSource(url=CATALOGUE, token_urls=(IDENTITY,)),
            HookSource(url="https://other.example", token_urls=()),
        ),
        outputs=(HookOutput(url=S3, region="eu-x"),),
    ),
    buckets=(
        PrivateBucket(
            name="team",
            group="root/eo",
            storage=StorageSettings(endpoint=S3, bucket="teams", access_key=KEY, secret_key=KEY),
        ),
    ),
    base="https://gate.example",
)
WRONG = "sentinel-value-441"
DESP = {"source_type": "DESP", "desp_source_collection": "S2"}
EXTERNAL = {
    "source_type": "EXTERNAL", "source_catalogue_api_url": CATALOGUE, "source_catalogue_api_type": "STAC",
    "source_token_url": f"{IDENTITY}/token", "source_username": "u", "source_password": WRONG,
    "source_catalogue_collection": "S2",
}  # fmt: skip
OWN = {
    "output_storage": "PRIVATE", "output_s3_access_key": WRONG, "output_s3_secret_key": WRONG,
    "output_s3_path": "s3://bucket/pre fix/x", "output_s3_endpoint_url": S3,
}  # fmt: skip


def body(*options, **members):
    told = {"output_storage": "TEMPORARY"}
    for each in options:
        told |= each
    listed = [{"Name": name, "Value": value} for name, value in told.items() if value is not ...]
    return {"WorkflowName": "data-harvest", "IdentifierList": ["a"], "WorkflowOptions": listed, **members}


def test_what_an_order_says_is_read_and_its_secrets_are_apart():
    wish = batch_wish(body(EXTERNAL, OWN, Priority=4, Name="n"), TERMS)
    assert (wish.catalogue.url, wish.catalogue.token_url) == (CATALOGUE, f"{IDENTITY}/token")
    assert (wish.output.bucket.folder, wish.output.bucket.region) == ("pre fix/x", "eu-x")
    assert set(wish.secrets) == {"source_password", "output_s3_access_key", "output_s3_secret_key"}
    assert WRONG not in repr(wish)
    assert all(option.value != WRONG for option in wish.options)


def test_the_password_of_our_own_users_is_dropped_at_once():
    wish = batch_wish(body(DESP, {"desp_source_username": "ann", "desp_source_password": WRONG}), TERMS)
    assert wish.secrets == {}
    assert WRONG not in str([option.value for option in wish.options])


def test_a_catalogue_that_is_this_gateway_is_our_own():
    url = {"source_catalogue_api_url": "https://gate.example/stac/v2"}
    assert batch_wish(body(EXTERNAL, url), TERMS).catalogue is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"output_storage": ...}, "output_storage"),
        ({"output_storage": WRONG}, "output_storage"),
        ({"source_type": WRONG}, "source_type"),
        ({"desp_source_collection": ...}, "desp_source_collection"),
        ({"desp_source_pasword": WRONG}, "WorkflowOptions[3]"),
        ({"desp_source_password": f"{WRONG}\x00"}, "desp_source_password"),
        ({"desp_source_password": [WRONG]}, "desp_source_password"),
        ({"desp_source_password": WRONG * 1000}, "desp_source_password"),
    ],
)
def test_a_wrong_option_is_named_and_its_value_is_not_repeated(options, field):
    with pytest.raises(InvalidInput) as refused:
        batch_wish(body(DESP, options), TERMS)
    assert refused.value.field == field
    assert WRONG not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://catalogue.example/stac",
        "https://catalogue.example/stacks",
        "https://catalogue.example/stac/../admin",
        "https://catalogue.example/stac/%2e%2e/admin",
        "https://catalogue.example:444/stac",
        "https://catalogue.example@evil.example/stac",
        "https://user:pw@catalogue.example/stac",
        "https://catalogue.example\\@evil.example/stac",
        "https://catalogue.example/stac?x=1",
        "https://catalogue.example/stac#x",
        "https://169.254.169.254/latest",
        "file:///etc/passwd",
        "https://[::1/stac",
        "//catalogue.example/stac;x",
    ],
)
def test_addresses_that_the_operator_has_not_named_are_refused(url):
    for option in ("source_catalogue_api_url", "source_token_url"):
        with pytest.raises(InvalidInput) as refused:
            batch_wish(body(EXTERNAL, {option: url}), TERMS)
        assert refused.value.field == option
        assert url not in str(refused.value)
    with pytest.raises(InvalidInput) as refused:
        batch_wish(body(DESP, OWN, {"output_s3_endpoint_url": url}), TERMS)
    assert refused.value.field == "output_s3_endpoint_url"


def test_a_password_goes_to_no_identity_provider_but_that_catalogues_own():
    with pytest.raises(InvalidInput, match="source_token_url"):
        batch_wish(body(EXTERNAL, {"source_catalogue_api_url": "https://other.example/stac"}), TERMS)


@pytest.mark.parametrize("header", ["Host", "cookie", "Transfer-Encoding", "X\r\nY", "Proxy-Authorization", "", "é"])
def test_headers_that_carry_no_tokens_are_refused(header):
    if header == "":
        assert batch_wish(body(EXTERNAL, {"source_auth_header_name": ""}), TERMS).catalogue.header == "Authorization"
        return
    with pytest.raises(InvalidInput, match="source_auth_header_name"):
        batch_wish(body(EXTERNAL, {"source_auth_header_name": header}), TERMS)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "bucket/x",
        "s3://",
        "s3://b/x",
        "s3://bucket/../x",
        "s3://bucket/a//b",
        "s3://bucket/{item_id}",
        "s3://bucket/a?b",
        "s3://bucket/" + "x" * 400,
        "s3://bucket/a\tb",
        "s3://u:p@bucket/x",
        "https://bucket/x",
    ],
)
def test_paths_that_services_read_in_different_ways_are_refused(path):
    with pytest.raises(InvalidInput, match="output_s3_path"):
        batch_wish(body(DESP, OWN, {"output_s3_path": path}), TERMS)


def test_one_key_alone_is_refused_and_none_means_the_groups_bucket():
    with pytest.raises(InvalidInput, match="output_s3_secret_key"):
        batch_wish(body(DESP, OWN, {"output_s3_secret_key": ...}), TERMS)
    shared = {"output_storage": "PRIVATE", "output_s3_path": "s3://teams/in"}
    assert batch_wish(body(DESP, shared), TERMS).output.shared == "team"
    with pytest.raises(InvalidInput, match="output_s3_access_key"):
        batch_wish(body(DESP, shared | {"output_s3_path": "s3://others/in"}), TERMS)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"WorkflowName": "card_bs"}, "WorkflowName"),
        ({"IdentifierList": []}, "IdentifierList"),
        ({"IdentifierList": list("abcd")}, "IdentifierList"),
        ({"IdentifierList": ["a", 5]}, "IdentifierList[1]"),
        ({"IdentifierList": ["a\nb"]}, "IdentifierList[0]"),
        ({"WorkflowOptions": {"output_storage": "TEMPORARY"}}, "WorkflowOptions"),
        ({"WorkflowOptions": [5]}, "WorkflowOptions[0]"),
        ({"WorkflowOptions": [{"Name": "output_storage", "Value": "TEMPORARY"}] * 2}, "output_storage"),
        ({"Priority": "high"}, "Priority"),
        ({"Name": "x" * 501}, "Name"),
    ],
)
def test_a_wrong_member_is_named(members, field):
    with pytest.raises(InvalidInput) as refused:
        batch_wish(body(DESP, **members), TERMS)
    assert refused.value.field == field


def test_a_production_order_needs_a_reference():
    with pytest.raises(InvalidInput, match=r"InputProductReference\.Reference"):
        production_wish(body(DESP), TERMS)


def test_sealed_secrets_open_in_their_own_order_and_with_a_former_key_only():
    sealed = Sealer(b"k" * 32).seal({"a": WRONG}, owner="1/ann")
    assert WRONG not in sealed
    assert Sealer(b"n" * 32, former=[b"k" * 32]).open(sealed, owner="1/ann") == {"a": WRONG}
    for other, owner in ((Sealer(b"n" * 32), "1/ann"), (Sealer(b"k" * 32), "2/ann")):
        with pytest.raises(Unsealable):
            other.open(sealed, owner=owner)
