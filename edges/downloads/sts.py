"""Short-lived keys of a site's S3 store, that read no more than named objects: AssumeRole with a session policy.

Sources: AWS Security Token Service API Reference, "AssumeRole"; as also spoken by Ceph's RADOS Gateway and MinIO. The
keys that come can do what the role may *and* the session policy says, so a role of read access to the whole bucket is
narrowed to what was asked for.
"""

import re
from collections.abc import Iterable
from html import unescape
from typing import Literal
from urllib.parse import urlencode

import aiohttp
import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from edges.errors import EdgeError, SiteMisbehaved, SiteUnavailable
from edges.model import Frozen, Json

MAX_POLICY = 2048
"""Characters of a session policy (AWS STS API Reference, "AssumeRole", Policy)."""
_MAX_ANSWER = 64 << 10
_SECONDS = 15.0
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_WILD = re.compile(r"[*?$]")
_NAME = re.compile(r"[^\w+=,.@-]", re.ASCII)


class PolicyTooLong(EdgeError):
    """So many objects cannot be named in one session policy."""

    status = 400
    title = "Too many objects for one pair of keys"


class ShortKeys(Frozen):
    """Keys that end at ``expiration`` (RFC 3339), with the token that goes with them."""

    access_key: str
    secret_key: str
    session_token: str
    expiration: str

    def __repr__(self) -> str:
        return "ShortKeys(...)"


class Role(Frozen):
    """What is assumed: the service's URL, and the role's ARN where the service asks for one."""

    url: str
    arn: str = ""
    region: str = "us-east-1"


def session_policy(objects: Iterable[str]) -> str:
    """Return the policy that lets read objects of the form ``bucket/key``, or all below ``bucket/prefix/*``.

    Raises:
        PolicyTooLong: there are too many of them.
    """
    resources = [f"arn:aws:s3:::{_literal(each)}" for each in sorted(set(objects))]
    statement: Json = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resources}
    policy = msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()
    if len(policy) > MAX_POLICY:
        raise PolicyTooLong(
            f"{len(resources)} objects make a policy of {len(policy)} characters, of {MAX_POLICY} at most; "
            "ask for fewer items, or for signed addresses"
        )
    return policy


def _literal(name: str) -> str:
    """Let characters mean themselves that are wildcards in a policy; a star at the end stays one (IAM User Guide)."""
    stem, star = (name[:-1], "*") if name.endswith("/*") else (name, "")
    return _WILD.sub(lambda found: "${" + found.group() + "}", stem) + star


class SecurityTokens:
    """Asks a Security Token Service with the site's own keys; the session's owner closes it."""

    def __init__(
        self, *, site: str, role: Role, access_key: str, secret_key: str, session: aiohttp.ClientSession
    ) -> None:
        self._site = site
        self._role = role
        self._credentials = Credentials(access_key, secret_key)
        self._session = session

    async def given(self, name: str, objects: Iterable[str], *, seconds: int) -> ShortKeys:
        """Return keys that read these objects; see :func:`session_policy` and :meth:`assume`."""
        return await self.assume(name=name, policy=session_policy(objects), seconds=seconds)

    async def assume(self, *, name: str, policy: str, seconds: int) -> ShortKeys:
        """Return keys for ``seconds``; ``name`` is told to the store, for its logs.

        Raises:
            SiteUnavailable, SiteMisbehaved: the service does not answer, or refuses.
        """
        form = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleSessionName": _NAME.sub("-", name)[:64].ljust(2, "-"),
            "DurationSeconds": str(seconds),
            "Policy": policy,
            **({"RoleArn": self._role.arn} if self._role.arn else {}),
        }
        request = AWSRequest(method="POST", url=self._role.url, data=urlencode(form), headers={"Content-Type": _FORM})
        SigV4Auth(self._credentials, "sts", self._role.region).add_auth(request)
        try:
            async with self._session.post(
                self._role.url,
                data=urlencode(form).encode(),
                headers=dict(request.headers.items()),
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                allow_redirects=False,
            ) as response:
                body = (await response.content.read(_MAX_ANSWER)).decode("utf-8", "replace")
                return self._keys(response.status, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SiteUnavailable(self._site, f"its token service gives no answer ({type(error).__name__})") from error

    def _keys(self, status: int, body: str) -> ShortKeys:
        if status != 200:
            code = _member(body, "Code") or "without a reason"
            kind = SiteUnavailable if status >= 500 else SiteMisbehaved
            raise kind(self._site, f"its token service answered HTTP {status} {code[:60]}")
        keys = ShortKeys(
            access_key=_member(body, "AccessKeyId"),
            secret_key=_member(body, "SecretAccessKey"),
            session_token=_member(body, "SessionToken"),
            expiration=_member(body, "Expiration"),
        )
        if not (keys.access_key and keys.secret_key and keys.session_token):
            raise SiteMisbehaved(self._site, "its token service gave no keys")
        return keys


_Name = Literal["Code", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]


def _member(body: str, name: _Name) -> str:
    """Find a member in XML of a stranger: it is searched, never parsed, so that entities cannot expand."""
    found = re.search(rf"<{name}>([^<]{{1,8192}})</{name}>", body)
    return unescape(found.group(1)).strip() if found else ""
