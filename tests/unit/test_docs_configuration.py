"""What the documentation says of the configuration is what the gateway reads."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import json_schema, parse_settings
from quotas.model import RESOURCES

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
EXAMPLES = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if re.search(r"^\w+:\n", text)]
GROUPS = {
    "ServerSettings": "## `server`",
    "AuthSettings": "## `auth`",
    "ApiTokenSettings": "Each entry of `tokens`",
    "IssuerSettings": "Each entry of `issuers`",
    "SiteSettings": "## `sites`",
    "CatalogueSettings": "### `sites[].catalogue`",
    "Rate": "The `rate` of a catalogue",
    "EodagSettings": "### `sites[].catalogue.eodag`",
    "PolitenessSettings": "### `sites[].politeness`",
    "StorageSettings": "### `sites[].storage`",
    "DownloadSettings": "### `sites[].downloads`",
    "SiteCredentials": "The `credentials` of a site's data",
    "DirectSettings": "Access beside the gateway",
    "DataSettings": "## `data`",
    "DaskSettings": "### `sites[].dask`",
    "KernelSettings": "### `sites[].kernels`",
    "TunnelSettings": "### `sites[].tunnel`",
    "EscrowSettings": "### `sites[].escrow`",
    "OrderSettings": "### `sites[].orders`",
    "AccessRule": "### `sites[].access`",
    "QuotaSettings": "## `quotas`",
    "Policy": "Each entry of `policies`",
    "ComputeSettings": "## `compute`",
    "HarvestSettings": "## `harvest`",
    "PrivateBucket": "Each entry of `buckets`",
    "ExecutorSettings": "### `harvest.executors`",
    "KubernetesJobs": "`kubernetes` takes:",
    "HookSettings": "### `harvest.hook`",
    "HookSource": "Each entry of `sources`",
    "HookOutput": "Each entry of `outputs`",
    "LimitSettings": "## `limits`",
    "TracingSettings": "## `tracing`",
    "ContributedSettings": "## `contributed`",
    "TreeSettings": "Each entry of `trees`",
    "HdaSettings": "## `hda`",
    "HdaService": "Each entry of `services`",
}
"""Where each group of the schema is described."""


def rows(heading: str) -> dict[str, str]:
    """Return what the first table below a heading says, by key: unit, default and reason."""
    table = PAGE[PAGE.index("\n|", PAGE.index(heading)) :].split("\n\n")[0]
    found = {}
    for line in table.strip().splitlines()[2:]:
        keys, _, rest = line.removeprefix("| ").partition(" | ")
        found |= dict.fromkeys(re.findall(r"`(\w+)`", keys), rest)
    return found


def group_of(name: str) -> dict[str, Any]:
    return dict(json_schema()["$defs"][name])


def keys_in(value: Any) -> Iterator[str]:
    """Yield the keys of a document at any depth."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(key, str):
            yield key
        if isinstance(each, dict | list):
            yield from keys_in(each)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_valid_configuration(text: str) -> None:
    assert parse_settings(yaml.safe_load(text), {}, source="docs/configuration.md")


def test_the_complete_example_has_every_key_of_the_schema() -> None:
    keys = {key for group in json_schema()["$defs"].values() for key in group.get("properties", {})}
    assert keys - set(keys_in(yaml.safe_load(EXAMPLES[0]))) == set()


def test_every_group_and_every_key_is_described() -> None:
    described = {name for name, group in json_schema()["$defs"].items() if group.get("properties")}
    assert described - {"Settings", "Secret"} == set(GROUPS)
    for group, heading in GROUPS.items():
        assert set(rows(heading)) == set(group_of(group)["properties"]), group


@pytest.mark.parametrize("group", GROUPS)
def test_the_defaults_are_those_of_the_code(group: str) -> None:
    told = rows(GROUPS[group])
    for key, member in group_of(group)["properties"].items():
        default = member.get("default")
        if key in group_of(group).get("required", []):
            assert "required" in told[key], key
        elif isinstance(default, bool):
            assert f"`{str(default).lower()}`" in told[key], key
        elif default and isinstance(default, int | float | str):
            shown = default if isinstance(default, str) else f"{default:.0f}" if default >= 1 else f"{default:g}"
            assert f"`{shown}`" in told[key], key


def test_every_resource_of_quotas_is_described() -> None:

    table = PAGE[PAGE.index("| `resource` | unit |") :]
    told = set(
        re.findall(r"`(\w+)`", "".join(line.split(" | ")[0] for line in table.split("\n\n")[0].splitlines()[2:]))
    )
    assert told == set(RESOURCES)


def test_no_example_holds_a_secret() -> None:
    assert not re.search(r"(token|secret|key): [\"']?[A-Za-z0-9]{16,}", PAGE)
