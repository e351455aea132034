"""PURE: GPUs of kernels: what their kernelspec takes, or the user's variables ask for. They are reserved like any."""

from collections.abc import Mapping

from edges.errors import InvalidInput
from edges.model import Json

VARIABLES = ("KERNEL_GPUS", "KERNEL_GPUS_LIMIT")
"""The variables by which Enterprise Gateway gives a kernel GPUs."""
MOST = 64
"""More GPUs has no machine."""


def gpus_of_spec(entry: object) -> int:
    """Return what a kernelspec says of its kernels: ``metadata.lakegate.gpus``; 0 where it says nothing plausible.

    >>> gpus_of_spec({"name": "torch", "spec": {"metadata": {"lakegate": {"gpus": 2}}}}), gpus_of_spec({})
    (2, 0)
    """
    found = entry
    for name in ("spec", "metadata", "lakegate", "gpus"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= MOST else 0


def gpus_of(entry: Json, asked: Mapping[str, str]) -> int:
    """Return how many GPUs a kernel takes: the most that its spec or one of the variables says.

    Raises:
        InvalidInput: a variable is no number of GPUs.
    """
    return max(gpus_of_spec(entry), *(_read(name, asked[name]) for name in VARIABLES if name in asked), 0)


def _read(name: str, value: str) -> int:
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 4 else -1
    if not 0 <= number <= MOST:
        raise InvalidInput(f"env.{name}", f"got {value[:40]!r}", f"a whole number from 0 to {MOST}")
    return number
