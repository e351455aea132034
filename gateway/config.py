"""Reads the configuration file: YAML, checked against the typed groups, with environment overrides.

``LAKEGATE__SERVER__PORT=8500`` overrides ``server.port``; the value is read as YAML.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from edges.settings import SiteSettings
from gateway.settings import Settings

_log = logging.getLogger(__name__)

Group = TypeVar("Group")

PREFIX = "LAKEGATE__"
_PATH = re.compile(r"^(?P<text>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file and the path inside it."""


def read_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read and check a configuration file.

    Raises:
        ConfigError: it cannot be read, an unknown key, or a bad value; the message names its path.
    """
    with _naming(str(path)):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return _with_further_sites(parse_settings({} if content is None else content, environ, source=str(path)))


def _with_further_sites(settings: Settings) -> Settings:
    """Add the sites of further files, which the first one names."""
    sites = list(settings.sites)
    for file in settings.sites_from:
        for site in _sites_in(Path(file)):
            if any(site.id == each.id for each in sites):
                _log.warning("a site of that id is there already", extra={"site": site.id, "file": file})
            else:
                sites.append(site)
    return msgspec.structs.replace(settings, sites=tuple(sites))


def _sites_in(path: Path) -> list[SiteSettings]:
    with _naming(str(path)):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return msgspec.convert(yaml.safe_load(text) or [], list[SiteSettings])


def read_group(path: Path, kind: type[Group]) -> Group:
    """Read a file that holds one group of settings, as an edge has for what runs beside its catalogue.

    Raises:
        ConfigError: as :func:`read_settings`.
    """
    with _naming(str(path)):
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), kind)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Say of what is wrong in which file it is, and where."""
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_readable(str(error))}") from error


def parse_settings(content: Any, environ: Mapping[str, str], *, source: str) -> Settings:
    """Check decoded content, after the environment's overrides.

    Raises:
        ConfigError: as :func:`read_settings`.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: $: expected a mapping of groups, got {type(content).__name__}")
    with _naming(source):
        return msgspec.convert(overridden(content, environ), Settings)


def overridden(content: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the content with the values that the environment sets.

    Raises:
        ConfigError: a variable names no mapping, or its value is not YAML.
    """
    result = dict(content)
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        keys = [key.lower() for key in name.removeprefix(PREFIX).split("__")]
        try:
            value = yaml.safe_load(environ[name])
        except yaml.YAMLError as error:
            raise ConfigError(f"environment {name}: not YAML: {error}") from error
        _set(result, keys, value, name)
    return result


def _set(content: dict[str, Any], keys: list[str], value: Any, variable: str) -> None:
    node = content
    for key in keys[:-1]:
        inner = node.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise ConfigError(f"environment {variable}: {key} is not a group")
        node[key] = dict(inner or {})
        node = node[key]
    node[keys[-1]] = value


def _readable(message: str) -> str:
    """Put the path first: ``$.server.port: Expected `int`, got `str```."""
    match = _PATH.match(message)
    if match is None:
        return message
    return f"{match['path'] or '$'}: {match['text']}"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the configuration file, for editors and checks."""
    schema: dict[str, Any] = msgspec.json.schema(Settings)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lakegate configuration",
        **schema,
    }
