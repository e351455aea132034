"""The secrets that a configuration refers to: found, so that a check can name those that cannot be read."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edges.settings import Secret
from gateway.settings import Settings


def unreadable_secrets(settings: Settings) -> list[str]:
    """Return one line for each secret that cannot be read, with its path in the file."""
    problems = []
    for path, secret in _secrets(settings, "$"):
        try:
            secret.reveal()
        except LookupError as error:
            problems.append(f"{path}: {error}")
    return problems


def _secrets(value: Any, path: str) -> Iterator[tuple[str, Secret]]:
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _secrets(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _secrets(each, f"{path}.{name}")
    elif isinstance(value, tuple | list):
        for index, each in enumerate(value):
            yield from _secrets(each, f"{path}[{index}]")


def kept_key(path: Path) -> bytes:
    """Return the key in a file; make it, readable by this user only, where there is none."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    key = secrets.token_bytes(32)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    return key
