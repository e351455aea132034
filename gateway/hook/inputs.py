"""Bodies of orders become wishes. Pure. No message repeats the value of an option: it could be a password."""

from collections.abc import Mapping
from typing import Literal, cast

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from gateway.hook.addresses import named, same_origin
from gateway.hook.inputs_output import Output, output_of
from gateway.hook.model import DROPPED, SECRETS, Catalogue, Option
from gateway.hook.workflows import DATA_HARVEST, FORMER, IGNORED, OPTIONS, REALM, WORKFLOW_ID
from harvest.settings import HookSettings, PrivateBucket

MAX_NAME = 500
MAX_VALUE = 4_000
MAX_IDENTIFIER = 500
_HEADERS_REFUSED = frozenset(
    {"host", "connection", "content-length", "content-type", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
    | {"cookie", "range", "if-range", "accept-encoding", "forwarded", "lakegate-hops"}
)
_RIGHT_OPTIONS = '[{"Name": "output_storage", "Value": "TEMPORARY"}, ...]'


class Terms(Frozen):
    """What orders are read by: the settings, the buckets of the user's group, and the gateway's own address."""

    settings: HookSettings
    buckets: tuple[PrivateBucket, ...] = ()
    base: str = ""


class Wish(Frozen):
    """What an order asks for. ``secrets`` are values by option; they are nowhere else."""

    kind: Literal["batch", "production"]
    name: str
    identifiers: tuple[str, ...]
    collection: str
    options: tuple[Option, ...]
    output: Output
    catalogue: Catalogue | None = None
    priority: int | None = None
    secrets: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Tell which, and no secret."""
        return f"Wish({self.name!r}, {len(self.identifiers)} products)"


def batch_wish(body: Json, terms: Terms) -> Wish:
    """Read a BatchOrder: ``IdentifierList`` names its products.

    Raises:
        InvalidInput: a member or option is missing, unknown or wrong; it is named.
    """
    given = body.get("IdentifierList")
    if not isinstance(given, list) or not given or len(given) > terms.settings.items:
        count = len(given) if isinstance(given, list) else "no list"
        raise InvalidInput("IdentifierList", f"got {count}", f"a list of 1 to {terms.settings.items} identifiers")
    identifiers = [_identifier(each, f"IdentifierList[{index}]") for index, each in enumerate(given)]
    return _wish("batch", body, identifiers, terms)


def production_wish(body: Json, terms: Terms) -> Wish:
    """Read a ProductionOrder: ``InputProductReference.Reference`` names its one product.

    Raises:
        InvalidInput: as :func:`batch_wish`.
    """
    given = body.get("InputProductReference")
    reference = given.get("Reference") if isinstance(given, dict) else None
    return _wish("production", body, [_identifier(reference, "InputProductReference.Reference")], terms)


def _wish(kind: Literal["batch", "production"], body: Json, identifiers: list[str], terms: Terms) -> Wish:
    _check_workflow(body)
    values = _values(body.get("WorkflowOptions"))
    told = _modern(values)
    catalogue = _catalogue(told, terms)
    collection = _collection(told, catalogue)
    return Wish(
        kind=kind,
        name=_name(body, identifiers[0]),
        identifiers=tuple(dict.fromkeys(identifiers)),
        collection=collection,
        options=tuple(_option(name, value) for name, value in values.items()),
        output=output_of(told, terms.settings, terms.buckets),
        catalogue=catalogue,
        priority=_priority(body.get("Priority")),
        secrets=_secrets(told, external=catalogue is not None),
    )


def _check_workflow(body: Json) -> None:
    name, number = body.get("WorkflowName"), body.get("WorkflowId")
    if name is None and str(number) == str(WORKFLOW_ID):
        return
    if name != DATA_HARVEST:
        raise InvalidInput("WorkflowName", "missing" if name is None else f"got {name!r}"[:80], DATA_HARVEST)


def _name(body: Json, otherwise: str) -> str:
    name = body.get("Name")
    if name is None:
        return otherwise
    if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput("Name", "no text, or too long", f"a text of at most {MAX_NAME} printable characters")
    return name


def _priority(given: object) -> int | None:
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool) or not -1000 <= given <= 1000:
        raise InvalidInput("Priority", f"got {given!r}"[:80], "a whole number; a higher one is more urgent")
    return given


def _identifier(given: object, field: str) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > MAX_IDENTIFIER or not given.isprintable():
        raise InvalidInput(field, "no identifier", f"a text of 1 to {MAX_IDENTIFIER} printable characters")
    return given.strip()


def _values(given: object) -> dict[str, str]:
    """Return the options by name, in order."""
    if not isinstance(given, list) or len(given) > 4 * len(OPTIONS):
        raise InvalidInput("WorkflowOptions", "no list, or too long", _RIGHT_OPTIONS)
    values: dict[str, str] = {}
    for index, each in enumerate(given):
        field = f"WorkflowOptions[{index}]"
        name = each.get("Name") if isinstance(each, dict) else None
        if not isinstance(name, str):
            raise InvalidInput(field, "no Name", _RIGHT_OPTIONS)
        if name not in OPTIONS and name not in FORMER and name not in REALM and name not in IGNORED:
            raise InvalidInput(field, f"the option {name[:60]!r} is not known", ", ".join(OPTIONS))
        value = each.get("Value")
        value = "" if value is None else value
        if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > MAX_VALUE:
            raise InvalidInput(name, "no text, or too long", f"a text of at most {MAX_VALUE} characters")
        if any(ord(letter) < 32 for letter in str(value)):
            raise InvalidInput(name, "control characters inside", "a text without")
        if name in values:
            raise InvalidInput(name, "twice", "each option once")
        values[name] = str(value)
    return values


def _modern(values: Mapping[str, str]) -> dict[str, str]:
    """Return what options say in today's spelling; empty ones say nothing."""
    told = {FORMER.get(name, name): value for name, value in values.items() if value}
    server, realm = (told.pop(name, "") for name in REALM)
    if server and realm:
        told.setdefault("source_token_url", f"{server.rstrip('/')}/realms/{realm}/protocol/openid-connect/token")
    return told


def _option(name: str, value: str) -> Option:
    if name in SECRETS or name in DROPPED:
        return Option(name=name, secret=True)
    return Option(name=name, value=value)


def _secrets(told: Mapping[str, str], *, external: bool) -> dict[str, str]:
    """Return the secrets that are needed; others are dropped here."""
    needed = {name for name in SECRETS if name.startswith("output_") or external}
    return {name: told[name] for name in needed if name in told}


def _choice(told: Mapping[str, str], name: str) -> str:
    value = told.get(name, OPTIONS[name].default or "").upper()
    if value not in OPTIONS[name].values:
        raise InvalidInput(name, "missing" if name not in told else "not known", " or ".join(OPTIONS[name].values))
    return value


def _collection(told: Mapping[str, str], catalogue: Catalogue | None) -> str:
    if catalogue is None:
        names = ("desp_source_collection", "source_catalogue_collection")
        collection = told.get(names[0]) or told.get(names[1]) or ""
    else:
        names = ("source_catalogue_collection", "")
        collection = told.get(names[0], "")
    if not collection and (catalogue is None or catalogue.kind == "STAC"):
        raise InvalidInput(names[0], "missing", "the id of a collection")
    return collection


def _catalogue(told: Mapping[str, str], terms: Terms) -> Catalogue | None:
    """Return the catalogue outside that an order names, or None: it wants our own sites."""
    if _choice(told, "source_type") == "DESP":
        return None
    url = told.get("source_catalogue_api_url", "")
    if not url:
        raise InvalidInput("source_catalogue_api_url", "missing", "the URL of a catalogue, or source_type DESP")
    if terms.base and same_origin(url, [terms.base]):
        return None  # that is us
    sources = {source.url: source for source in terms.settings.sources}
    url = named(url, sources, "source_catalogue_api_url")
    source = next(each for each in sources.values() if _at(url, each.url))
    token_url = told.get("source_token_url", "")
    grant = _choice(told, "source_grant_type")
    if token_url:
        token_url = named(token_url, source.token_urls, "source_token_url")
        _check_grant(told, grant)
    return Catalogue(
        url=url,
        kind=cast("Literal['STAC', 'ODATA']", _choice(told, "source_catalogue_api_type")),
        token_url=token_url,
        grant=cast("Literal['PASSWORD', 'CLIENT_CREDENTIALS']", grant),
        header=_header(told.get("source_auth_header_name", "Authorization")),
        username=told.get("source_username", ""),
        client_id=told.get("source_client_id", ""),
    )


def _at(url: str, root: str) -> bool:
    try:
        named(url, [root], "")
    except InvalidInput:
        return False
    return True


def _check_grant(told: Mapping[str, str], grant: str) -> None:
    needed = ("source_username", "source_password") if grant == "PASSWORD" else ("source_client_id",)
    for name in needed:
        if not told.get(name):
            raise InvalidInput(name, "missing", f"it is needed for the grant {grant}")


def _header(name: str) -> str:
    plain = name.isascii() and name.replace("-", "").isalnum() and len(name) <= 64
    if not plain or name.lower() in _HEADERS_REFUSED or name.lower().startswith(("proxy-", "sec-")):
        raise InvalidInput("source_auth_header_name", "no header that may carry a token", "Authorization, or X-...")
    return name
