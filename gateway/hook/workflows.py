"""The workflows that are offered: ``data-harvest``, and the options that it takes. Pure."""

from collections.abc import Mapping
from typing import Any

from edges.model import Json

DATA_HARVEST = "data-harvest"
WORKFLOW_ID = 17
DISPLAY_NAME = "Data harvest"
VERSION = "0.0.1"
WORKFLOW_NAMES = (
    "Id", "Uuid", "Name", "DisplayName", "Documentation", "Description", "InputProductType", "InputProductTypes",
    "OutputProductType", "OutputProductTypes", "WorkflowVersion", "CustomInputSource", "InputProductStatusOffline",
)  # fmt: skip

_PRIVATE = " Only with output_storage PRIVATE."
_EXTERNAL = " Only with source_type EXTERNAL."


class _Shape:
    """How one option is told."""

    def __init__(
        self, description: str, *, default: str | None = None, values: tuple[str, ...] = (), required: bool = False
    ) -> None:
        self.description = description
        self.default = default
        self.values = values
        self.required = required


OPTIONS: Mapping[str, _Shape] = {
    "output_storage": _Shape(
        "Where the outputs go: TEMPORARY, an archive to download for some time; PRIVATE, a bucket of your own.",
        values=("PRIVATE", "TEMPORARY"),
        required=True,
    ),
    "output_s3_endpoint_url": _Shape("URL of the S3 service of the bucket." + _PRIVATE),
    "output_s3_access_key": _Shape(
        "Access key. Without keys: the bucket is one that your group has set up." + _PRIVATE
    ),
    "output_s3_secret_key": _Shape("Secret key." + _PRIVATE),
    "output_s3_path": _Shape("s3://bucket/prefix." + _PRIVATE),
    "output_site": _Shape("The site whose bucket takes temporary outputs. Only with output_storage TEMPORARY."),
    "source_type": _Shape(
        "DESP: the sites of this gateway, in your own name; EXTERNAL: a catalogue elsewhere.",
        default="EXTERNAL",
        values=("DESP", "EXTERNAL"),
        required=True,
    ),
    "desp_source_collection": _Shape("The collection. Required with source_type DESP."),
    "desp_source_username": _Shape("Not needed: you are known by your token."),
    "desp_source_password": _Shape("Not needed, and not kept: you are known by your token."),
    "source_catalogue_api_url": _Shape("URL of the catalogue." + _EXTERNAL),
    "source_catalogue_api_type": _Shape("What the catalogue speaks." + _EXTERNAL, values=("STAC", "ODATA")),
    "source_catalogue_collection": _Shape("The collection; required for STAC." + _EXTERNAL),
    "source_token_url": _Shape("Where a token for the catalogue is asked for; none where it is open." + _EXTERNAL),
    "source_grant_type": _Shape(
        "How the token is asked for." + _EXTERNAL, default="PASSWORD", values=("PASSWORD", "CLIENT_CREDENTIALS")
    ),
    "source_auth_header_name": _Shape("The header that carries the token." + _EXTERNAL, default="Authorization"),
    "source_username": _Shape("User at the catalogue, for PASSWORD." + _EXTERNAL),
    "source_password": _Shape("Password at the catalogue, for PASSWORD. Kept sealed until the order ends." + _EXTERNAL),
    "source_client_id": _Shape("Client at the catalogue's identity provider." + _EXTERNAL),
    "source_client_secret": _Shape("Its secret, where it has one. Kept sealed until the order ends." + _EXTERNAL),
}
"""The options of ``data-harvest``, by name."""

FORMER = {
    "input_catalogue_type": "source_catalogue_api_type",
    "input_catalogue_url": "source_catalogue_api_url",
    "input_catalogue_collection": "source_catalogue_collection",
}
"""Spellings of before 2024-09 that still come, and today's."""

REALM = ("source_server_url", "source_realm")
"""A Keycloak and its realm, the former spelling of the token's URL."""

IGNORED = frozenset({"brand", "platform", "version"})
"""Options that chose among deployments, and mean nothing here."""


def workflows(*, options: bool) -> list[Json]:
    """Return the workflows, with their options if wanted."""
    told: dict[str, Any] = dict.fromkeys(WORKFLOW_NAMES)
    told |= {
        "Id": str(WORKFLOW_ID),
        "Name": DATA_HARVEST,
        "DisplayName": DISPLAY_NAME,
        "Description": "Brings products of a collection, from the sites of this gateway or from a catalogue elsewhere,"
        " into a bucket of your own or into temporary storage.",
        "InputProductTypes": [],
        "OutputProductTypes": [],
        "WorkflowVersion": VERSION,
        "CustomInputSource": False,
        "InputProductStatusOffline": True,
    }
    if options:
        told["WorkflowOptions"] = [_option(name, shape) for name, shape in OPTIONS.items()]
    return [told]


def _option(name: str, shape: _Shape) -> Json:
    return {
        "Name": name,
        "Description": shape.description,
        "Type": "str",
        "Default": shape.default,
        "Value": [{"value": value, "condition": None} for value in shape.values] or None,
        "Required": shape.required,
    }
