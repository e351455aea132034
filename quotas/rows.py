"""How values are written as rows, the same in every database: JSON where a value has parts."""

import msgspec

from quotas.errors import LedgerUnavailable
from quotas.journal import Ended, Waiting
from quotas.model import Charge, Lease, Line, Policy
from quotas.records import Grant, StoredPolicy

_encode = msgspec.json.Encoder().encode
_lines_decoder = msgspec.json.Decoder(tuple[Line, ...])
_names_decoder = msgspec.json.Decoder(tuple[str, ...])
_policy_decoder = msgspec.json.Decoder(StoredPolicy)
_grant_decoder = msgspec.json.Decoder(Grant)
_waiting_decoder = msgspec.json.Decoder(Waiting)

LeaseRow = tuple[str, str, str, str, int, float, str]

_NONE_DEGRADED = "[]"


def text(value: object) -> str:
    """Write a value as JSON."""
    return _encode(value).decode()


def lease_row(lease: Lease) -> LeaseRow:
    """Write a lease as a row."""
    charge = lease.charge
    degraded = text(lease.degraded) if lease.degraded else _NONE_DEGRADED
    return lease.key, charge.group, charge.user, text(lease.lines), lease.fence, lease.expires_at, degraded


def ended_row(ended: Ended) -> tuple[object, ...]:
    """Write an ended lease as a row."""
    return *lease_row(ended.lease), ended.how, ended.at


def lease_of(row: LeaseRow) -> Lease:
    """Read a lease."""
    key, group, user, lines, fence, expires_at, degraded = row
    return Lease(
        key=key,
        charge=Charge(group=group, user=user),
        lines=_lines_decoder.decode(lines),
        fence=fence,
        expires_at=expires_at,
        degraded=() if degraded == _NONE_DEGRADED else _names_decoder.decode(degraded),
    )


def stored_of(name: str, body: str) -> StoredPolicy:
    """Read a policy.

    Raises:
        LedgerUnavailable: it cannot be understood; what it limits is not known, so nothing may be granted.
    """
    try:
        return _policy_decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise LedgerUnavailable(f"policy {name!r} in the ledger cannot be understood: {error}") from error


def grant_of(grant_id: str, body: str) -> Grant:
    """Read a grant.

    Raises:
        LedgerUnavailable: it cannot be understood.
    """
    try:
        return _grant_decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise LedgerUnavailable(f"grant {grant_id!r} in the ledger cannot be understood: {error}") from error


def waiting_of(body: str) -> Waiting:
    """Read somebody who waits."""
    return _waiting_decoder.decode(body)


def rate_definition(policy: Policy) -> str:
    """Return what makes a rate the same rate: another one starts anew."""
    parts = (policy.name, policy.group, policy.applies, policy.edge, policy.resource, policy.amount, policy.span)
    return text(parts)
