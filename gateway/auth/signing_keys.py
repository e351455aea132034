"""An issuer's public keys (JWK Set, RFC 7517), each bound to what it may verify. Pure."""

import hashlib
from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from jwt import PyJWK
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError, PyJWKError

from edges.model import Json

MAX_KEYS = 100
"""So many keys of a set are looked at."""
LEAST_RSA_BITS = 2048

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
_PUBLIC = ("kty", "crv", "n", "e", "x", "y")
_VERIFIERS: dict[str, Algorithm] = get_default_algorithms()


class _KeySet(msgspec.Struct):
    """A JWK Set; members that are not known are left aside, as RFC 7517 section 5 asks."""

    keys: list[Json]


_DECODER = msgspec.json.Decoder(_KeySet)


class SigningKey:
    """One public key. Two with the same ``fingerprint`` are the same key."""

    def __init__(self, *, kid: str | None, algorithms: tuple[str, ...], fingerprint: bytes, jwk: PyJWK) -> None:
        self.kid = kid
        self.algorithms = algorithms
        self.fingerprint = fingerprint
        self._jwk = jwk

    def verifies(self, signed: bytes, signature: bytes, *, algorithm: str) -> bool:
        """Tell whether the signature is this key's. Costs about 0.05 ms of CPU for RSA of 2048 bits."""
        if algorithm not in self.algorithms:
            return False
        try:
            return bool(_VERIFIERS[algorithm].verify(signed, self._jwk.key, signature))
        except (InvalidSignature, InvalidKeyError, TypeError, ValueError):  # of another key type or a broken form
            return False


class SigningKeys:
    """The keys of an issuer at one time."""

    def __init__(self, keys: Iterable[SigningKey] = ()) -> None:
        self._keys = tuple(keys)
        self._fingerprints = frozenset(key.fingerprint for key in self._keys)

    def holds(self, fingerprint: bytes) -> bool:
        """Tell whether the key is still published."""
        return fingerprint in self._fingerprints

    def candidates(self, kid: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        """Return the keys that may have signed: those of that id, or without an id the only one that could."""
        fitting = tuple(key for key in self._keys if algorithm in key.algorithms)
        if kid is None:
            return fitting if len(fitting) == 1 else ()
        return tuple(key for key in fitting if key.kid == kid)


def read_keys(content: bytes) -> SigningKeys:
    """Read a JWK Set; keys that are secret, weak, for encryption or of an unknown kind are left out.

    Raises:
        ValueError: the content is no JWK Set, or none of its keys can be used.
    """
    try:
        told = _DECODER.decode(content).keys
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("the issuer's keys are no JWK Set") from error
    keys = [key for key in map(_key, told[:MAX_KEYS]) if key is not None]
    if not keys:
        raise ValueError("the issuer publishes no key that can be used")
    return SigningKeys(keys)


def _key(jwk: Json) -> SigningKey | None:
    algorithms = _algorithms(jwk)
    kid = jwk.get("kid")
    if not algorithms or not (kid is None or isinstance(kid, str)):
        return None
    public = {name: jwk[name] for name in _PUBLIC if name in jwk}
    try:
        key = PyJWK.from_dict(public, algorithm=algorithms[0])
    except (PyJWKError, InvalidKeyError, UnsupportedAlgorithm, TypeError, ValueError):  # not a key that we can use
        return None
    if public["kty"] == "RSA" and key.key.key_size < LEAST_RSA_BITS:
        return None
    fingerprint = hashlib.sha256(msgspec.json.encode([kid, public], order="deterministic")).digest()
    return SigningKey(kid=kid, algorithms=algorithms, fingerprint=fingerprint, jwk=key)


def _algorithms(jwk: Json) -> tuple[str, ...]:
    """Return what the key may verify; nothing where it says that it is for something else."""
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        return ()
    possible = _RSA if jwk.get("kty") == "RSA" else _BY_CURVE.get(str(jwk.get("crv")), ())
    named = jwk.get("alg")
    return tuple(each for each in possible if named is None or each == named)
