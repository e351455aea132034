"""Items of which the metadata only may be seen: their data's addresses are withheld, and it is told why. Pure.

Assets stay, with what they tell of themselves, but their ``href`` is the gateway's own address of the download, which
refuses by naming the missing role. Copies whose data may be had stand in their stead.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from edges.model import Json, Members
from gateway.search.merge import Group, Row
from gateway.search.sight import Sight

Address = Callable[[str, str, str, str], str]
"""From site, collection, item and asset to the address of the download."""

ACCESS = "federation:access"
"""The property that tells the role that is missing for the data."""

_TEXT = msgspec.json.Decoder(str)
_MEMBERS = msgspec.json.Decoder(Members)
_ASSETS = msgspec.json.Decoder(dict[str, dict[str, Any]])
_LINKS = msgspec.json.Decoder(list[dict[str, Any]])
_HARMLESS = frozenset({"license", "cite-as", "about", "describedby", "derived_from"})
_HIDDEN = ("href", "alternate", "file:local_path", "storage:refs", "auth:refs")
_SECRETS = ("storage:schemes", "auth:schemes")


def withheld(groups: Sequence[Group], sight: Sight, address: Address) -> list[Group]:
    """Return the groups as they are seen."""
    if not sight.bare:
        return list(groups)
    return [_group(group, sight, address) for group in groups]


def _group(group: Group, sight: Sight, address: Address) -> Group:
    roles = [_role(row, sight) for row in group]
    if not any(roles):
        return group
    given = any(row.key == group[0].key and not role for row, role in zip(group, roles, strict=True))
    kept: Group = []
    for row, role in zip(group, roles, strict=True):
        if not role:
            kept.append(row)
        elif not given or row.key != group[0].key:
            kept.append(Row(key=row.key, site=row.site, item=_bare(row, role, address)))
    return kept


def _role(row: Row, sight: Sight) -> str:
    roles = sight.bare.get(row.site)
    return roles.get(_TEXT.decode(row.item["collection"]), "") if roles else ""


def _bare(row: Row, role: str, address: Address) -> Members:
    item = row.item
    names = (row.site, _TEXT.decode(item["collection"]), _TEXT.decode(item["id"]))
    assets = {
        key: {"href": address(*names, key)} | {name: value for name, value in asset.items() if name not in _HIDDEN}
        for key, asset in _decoded(_ASSETS, item.get("assets"), {}).items()
    }
    links = [one for one in _decoded(_LINKS, item.get("links"), []) if one.get("rel") in _HARMLESS]
    properties: Json = {
        name: value for name, value in _decoded(_MEMBERS, item.get("properties"), {}).items() if name not in _SECRETS
    }
    told = {"granted": "metadata", "role": role}
    return item | {
        "assets": _raw(assets),
        "links": _raw(links),
        "properties": _raw(properties | {ACCESS: told}),
    }


def _decoded(decoder: "msgspec.json.Decoder[Any]", raw: msgspec.Raw | None, otherwise: Any) -> Any:
    """Decode a member; what is not what it should be is left out: it might hold what must not be given."""
    try:
        return otherwise if raw is None else decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return otherwise


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
