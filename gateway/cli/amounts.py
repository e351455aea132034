"""Amounts of quotas and spans of time, as people write and read them."""

import re
from typing import Any

import click

_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_FACTORS = {unit.lower(): 1024.0**power for power, unit in enumerate(_UNITS)} | {
    unit: 1000.0**power for power, unit in enumerate(("", "k", "m", "g", "t", "p"))
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def read_line(text: str) -> dict[str, Any]:
    """Read ``RESOURCE=AMOUNT`` or ``RESOURCE=AMOUNT@EDGE``."""
    resource, equals, rest = text.partition("=")
    amount, _, edge = rest.partition("@")
    if not equals or not resource:
        raise click.BadParameter(f"{text!r} is not of the form RESOURCE=AMOUNT or RESOURCE=AMOUNT@EDGE")
    return {"resource": resource, "amount": read_amount(amount), "edge": edge or "*"}


def read_amount(text: str) -> float:
    """Read a number with or without a unit of bytes: 8, 0.5, 32Gi, 10GB."""
    digits = text.rstrip("kKmMgGtTpPiIbB")
    unit = text[len(digits) :].lower().removesuffix("b")
    try:
        return float(digits) * _FACTORS[unit]
    except (ValueError, KeyError) as error:
        raise click.BadParameter(f"{text!r} is no amount; expected a number, as 8, 0.5, 32Gi or 10GB") from error


def amount_option(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Read an option's amount (a callback of click)."""
    return None if value is None else read_amount(value)


def seconds_option(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Read an option's span of time such as 12h or 30d, in seconds (a callback of click)."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhdw])", value)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"{value!r} is no time; expected such as 12h, 30d or 2w")
    return float(int(match[1]) * _SECONDS[match[2]])


def written(amount: float, unit: str) -> str:
    """Write an amount for people: bytes in binary units, all others as they are."""
    if unit != "bytes":
        return f"{amount:,.6g} {unit}"
    power = 0
    while amount >= 1024 and power < len(_UNITS) - 1:
        amount /= 1024
        power += 1
    return f"{amount:.4g} {_UNITS[power]}B"


def window(seconds: int | None, reset: str = "rolling") -> str:
    """Write the time that a limit is for."""
    if reset == "month":
        return " a month"
    return f" in {seconds:,} s" if seconds else ""
