# ruff: noqa: INP001, T201 - a script, run by its path
"""Makes what is derived of the charts: ``values.schema.json`` and ``README.md``. ``--check`` only compares.

Every key of ``values.yaml`` has a comment ``# -- ...``: the README's table is made of them. The schema is strict and
is made of the defaults, of ``values.schema.yaml`` (what defaults do not say), and of the gateway's own schema.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gateway.config import json_schema

FOLDER = Path(__file__).parent
CHARTS = ("lakegate", "lakegate-edge")
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}

DEFINITIONS: dict[str, Any] = {
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "names": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string", "minLength": 1}},
        },
    },
    "quantity": {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[kKMGTPE]i?)?$"},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "networks": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["cidr", "ports"],
            "additionalProperties": False,
            "properties": {
                "cidr": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]+$"},
                "ports": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/port"}},
            },
        },
    },
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "requests": {"type": "object"},
            "limits": {"type": "object"},
            "claims": {"type": "array"},
        },
    },
    "secretKey": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
        "dependentRequired": {"name": ["key"], "key": ["name"]},
    },
}
MOUNTED = {
    "type": "object",
    "required": ["existingSecret", "key"],
    "additionalProperties": False,
    "properties": {
        "existingSecret": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253},
        "key": {"type": "string", "pattern": r"^[-._a-zA-Z0-9]+$"},
    },
}
"""A secret that the chart mounts, beside the ``file`` and ``env`` that the gateway knows."""


def settings_definitions() -> dict[str, Any]:
    """Return the schema of the gateway's configuration as definitions; secrets may be mounted ones."""
    schema = json_schema()
    found: dict[str, Any] = json.loads(json.dumps(schema["$defs"]), object_hook=_structure)
    secret = found["Secret"]
    secret["properties"] = {name: {"type": "string", "minLength": 1} for name in ("file", "env")}
    found["Secret"] = {"oneOf": [secret | {"minProperties": 1, "maxProperties": 1}, MOUNTED]}
    return found | {"Configuration": {"$ref": schema["$ref"]}}


def _structure(node: dict[str, Any]) -> dict[str, Any]:
    """Leave out what tells nothing of what is allowed: the chart is then stale only where the settings changed."""
    words = {"description", "default", "title"}
    named = {key for key, value in node.items() if isinstance(value, dict) and "type" in value}  # properties
    return {key: value for key, value in node.items() if key not in words or key in named}


def comments(text: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the comment of each key of a values file that has one."""
    path: list[tuple[int, str]] = []
    told: list[str] | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            told = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and told is not None:
            told.append(stripped.removeprefix("# "))
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            path = [*(each for each in path if each[0] < indent), (indent, match["key"])]
            if told is not None:
                yield ".".join(key for _, key in path), " ".join(told)
            told = None


class Schema:
    """Makes the strict schema of one chart's values."""

    def __init__(self, chart: Path) -> None:
        text = (chart / "values.yaml").read_text(encoding="utf-8")
        self.values = yaml.safe_load(text)
        self.told = dict(comments(text))
        self.rules = yaml.safe_load((chart / "values.schema.yaml").read_text(encoding="utf-8"))

    def document(self) -> dict[str, Any]:
        """Return the schema.

        Raises:
            ValueError: a key is not explained, not fully described, or described without being there.
        """
        root = self._group(self.values, "")
        unknown = set(self.rules) - self._used
        if unknown:
            raise ValueError(f"described, but no key of values.yaml: {sorted(unknown)}")
        root["properties"]["enabled"] = {"type": "boolean"}  # a parent chart's condition
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Values",
            **root,
            "$defs": DEFINITIONS | settings_definitions(),
        }

    _used: set[str] = set()  # noqa: RUF012 - replaced by each document

    def _group(self, values: dict[str, Any], prefix: str) -> dict[str, Any]:
        if not prefix:
            self._used = set()
        properties = {key: self._key(f"{prefix}{key}", value) for key, value in values.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties}

    def _key(self, path: str, value: Any) -> dict[str, Any]:
        rule = self.rules.get(path)
        if rule is not None:
            self._used.add(path)
        elif isinstance(value, dict) and value:
            return self._group(value, path + ".")
        elif isinstance(value, list | dict) or value is None:
            raise ValueError(f"{path}: values.schema.yaml must say what may be in it")
        if path not in self.told:
            raise ValueError(f"{path}: values.yaml must explain it by a comment '# -- ...'")
        rule = rule or {}
        kind = {} if "type" in rule or "$ref" in rule or "enum" in rule else {"type": _TYPES[type(value)]}
        return {"description": self.told[path], **kind, **rule}


def leaves(values: dict[str, Any], rules: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and default of each key that a user may set as a whole."""
    for key, value in values.items():
        path = prefix + key
        if isinstance(value, dict) and value and path not in rules:
            yield from leaves(value, rules, path + ".")
        else:
            yield path, value


def readme(chart: Path) -> str:
    """Return the README: the chart's own words, then a table of its values."""
    schema = Schema(chart)
    head = (chart / "README.head.md").read_text(encoding="utf-8").rstrip()
    meta = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    rows = [
        f"| `{path}` | `{json.dumps(value)}` | {schema.told[path].replace('|', chr(92) + '|')} |"
        for path, value in leaves(schema.values, schema.rules)
    ]
    lines = [
        f"# {meta['name']}",
        "",
        f"{meta['description']}.",
        "",
        f"Chart {meta['version']}, Lakegate {meta['appVersion']}, Kubernetes {meta['kubeVersion']}.",
        "",
        head,
        "",
        "## Values",
        "",
        "| key | default | what it is |",
        "|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)


def derived(chart: Path) -> dict[Path, str]:
    """Return the derived files of a chart and what they must hold."""
    schema = json.dumps(Schema(chart).document(), indent=1) + "\n"
    return {chart / "values.schema.json": schema, chart / "README.md": readme(chart)}


def main(arguments: list[str]) -> int:
    """Write the derived files, or say which are stale."""
    stale = 0
    for name in CHARTS:
        for path, text in derived(FOLDER / name).items():
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            stale += 1
            print(f"{path.relative_to(FOLDER.parent)} {'is stale' if arguments else 'written'}")
            if not arguments:
                path.write_text(text, encoding="utf-8")
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
