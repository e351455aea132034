"""What a signed token says, checked claim by claim (RFC 7519, RFC 8725, RFC 9068). Pure: signatures are elsewhere."""

import base64
import binascii
import math
import re
from typing import Any

import msgspec

from edges.model import Frozen, Json
from gateway.auth.identity import Identity, InvalidCredentials, Scope
from gateway.settings import IssuerSettings
from quotas.model import is_group

MAX_KID = 256
"""The longest key id that is looked up, in characters."""
MAX_NAME = 256
"""The longest user name, in characters."""
MAX_GROUPS = 256
"""So many groups of a token count; the rest is left out."""

_TYPES = ("jwt", "at+jwt", "application/at+jwt")
_ID_TYPES = ("jwt",)
_OTHER_TOKENS = ("ID", "Refresh", "Offline", "Logout")
"""What Keycloak's claim ``typ`` calls tokens that give no access."""
_PART = re.compile(r"[A-Za-z0-9_-]+")
_OBJECT = msgspec.json.Decoder(Json)


class Signed(Frozen):
    """A token in its parts (JWS compact serialisation, RFC 7515 section 7.1). Nothing of it is verified yet."""

    header: Json
    claims: Json
    signed: bytes
    signature: bytes

    @property
    def kid(self) -> str | None:
        """Return the key id, None where there is none."""
        kid = self.header.get("kid")
        if kid is None:
            return None
        if not isinstance(kid, str) or len(kid) > MAX_KID:
            raise InvalidCredentials("the token's `kid` is no short text")
        return kid


def read_signed(text: str) -> Signed | None:
    """Take a token apart; None for what is no signed JWT at all."""
    parts = text.split(".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        return None
    try:
        header, payload, signature = (_bytes(part) for part in parts)
        return Signed(
            header=_OBJECT.decode(header),
            claims=_OBJECT.decode(payload),
            signed=f"{parts[0]}.{parts[1]}".encode(),
            signature=signature,
        )
    except (binascii.Error, msgspec.DecodeError, RecursionError):
        return None


def check_header(token: Signed, settings: IssuerSettings, *, id_token: bool = False) -> str:
    """Return the algorithm, which is one that the operator allows.

    ``jku``, ``jwk``, ``x5u`` and ``x5c`` are not looked at: keys come from the issuer alone.

    Raises:
        InvalidCredentials: another algorithm or type, or an extension that must be understood.
    """
    algorithm = token.header.get("alg")
    if algorithm not in settings.algorithms:
        raise InvalidCredentials(f"the token's `alg` must be one of {', '.join(settings.algorithms)}")
    kind = token.header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in (_ID_TYPES if id_token else _TYPES)):
        raise InvalidCredentials("the token's `typ` is not that of an access token, `at+jwt` or `JWT`")
    if "crit" in token.header or "b64" in token.header:
        raise InvalidCredentials("the token wants extensions (`crit`) that are not known here")
    return str(algorithm)


def check_claims(claims: Json, settings: IssuerSettings, *, now: float) -> float:
    """Check a verified access token; return until when it is valid, in epoch seconds.

    Raises:
        InvalidCredentials: it is of another issuer, for another audience, not valid now, or no access token.
    """
    until = _check_times(claims, settings, now=now)
    if not set(_texts(claims.get("aud"))) & set(settings.audiences):
        raise InvalidCredentials(f"the token is for another audience; expected {' or '.join(settings.audiences)}")
    client = claims.get("azp", claims.get("client_id"))
    if settings.clients and client not in settings.clients:
        raise InvalidCredentials("the token was given to a client that is not served here")
    if claims.get("typ") in _OTHER_TOKENS or "at_hash" in claims or ("nonce" in claims and "scope" not in claims):
        raise InvalidCredentials("this is not an access token; send the access token")
    return until


def check_id_claims(claims: Json, settings: IssuerSettings, *, nonce: str, now: float) -> None:
    """Check a verified ID token (OpenID Connect Core 1.0 section 3.1.3.7).

    Raises:
        InvalidCredentials: it is not the answer to this sign-in.
    """
    _check_times(claims, settings, now=now)
    audiences = _texts(claims.get("aud"))
    others = len(audiences) > 1 and claims.get("azp") is None
    if settings.client_id not in audiences or others or claims.get("azp", settings.client_id) != settings.client_id:
        raise InvalidCredentials("the ID token is for another client")
    if claims.get("nonce") != nonce:
        raise InvalidCredentials("the ID token is not the answer to this sign-in")


def identity_of(claims: Json, settings: IssuerSettings, *, via: str, until: float) -> Identity:
    """Return whom verified claims tell, in our words.

    Raises:
        InvalidCredentials: there is no user in them.
    """
    name = _at(claims, settings.user_claim)
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidCredentials(f"the token names no user in its claim {settings.user_claim!r}")
    groups = _groups(claims, settings)
    return Identity(
        user=settings.user_prefix + name,
        groups=groups,
        charging_group=settings.charging_group if settings.charging_group in groups else "",
        admin=bool(set(groups) & set(settings.admin_groups)),
        scopes=_scopes(claims, settings),
        via=via,
        expires_at=until,
        roles=_roles(claims, settings),
    )


def _roles(claims: Json, settings: IssuerSettings) -> tuple[str, ...]:
    told = _texts(_at(claims, settings.roles_claim))[:MAX_GROUPS]
    return tuple(sorted({role for role in told if 0 < len(role) <= MAX_NAME}))


def _groups(claims: Json, settings: IssuerSettings) -> tuple[str, ...]:
    """Return the paths of a user's groups, in the order told; what is no path is left out."""
    prefix = settings.group_prefix.strip("/")
    found: dict[str, None] = {}
    for value in _texts(_at(claims, settings.groups_claim))[:MAX_GROUPS]:
        mapped = settings.group_map.get(value)
        if mapped is None and settings.only_mapped:
            continue
        own = value.strip("/")
        path = mapped if mapped is not None else f"{prefix}/{own}" if prefix else own
        if is_group(path):
            found[path] = None
    return (*found, *(group for group in settings.groups if group not in found))


def _scopes(claims: Json, settings: IssuerSettings) -> tuple[Scope, ...]:
    if not settings.scope_map:
        return ()
    told = claims.get("scope", claims.get("scp", ""))
    names = told.split() if isinstance(told, str) else _texts(told)
    scopes: dict[Scope, None] = {settings.scope_map[name]: None for name in names if name in settings.scope_map}
    return tuple(scopes) or ("read",)


def _check_times(claims: Json, settings: IssuerSettings, *, now: float) -> float:
    if claims.get("iss") != settings.issuer:
        raise InvalidCredentials("the token is of another issuer")
    until, leeway = _moment(claims, "exp"), settings.leeway_seconds
    if until is None:
        raise InvalidCredentials("the token has no expiry (`exp`)")
    if until + leeway <= now:
        raise InvalidCredentials("the token has expired")
    for name in ("nbf", "iat"):
        since = _moment(claims, name)
        if since is not None and since - leeway > now:
            raise InvalidCredentials(f"the token is not valid yet (`{name}`)")
    return until


def _moment(claims: Json, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidCredentials(f"the token's `{name}` is no time in seconds")
    return float(value)


def _at(claims: Json, path: str) -> Any:
    """Follow a path; a claim whose name has dots itself (a URL) is found by its whole name."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _bytes(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
