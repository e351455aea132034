"""What an order would cost, and how a real amount is spread over reservations. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from harvest.model import Progress, Wanted


def estimated_sizes(wanted: Sequence[Wanted], assumed: int) -> list[int]:
    """Return the size of each object in bytes: as announced, else the mean of its kind, else ``assumed``.

    A kind is one asset key of one collection: its files are alike.
    """
    known: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for each in wanted:
        if each.size is not None:
            known[each.collection, each.asset].append(each.size)
    means = {kind: sum(sizes) // len(sizes) for kind, sizes in known.items()}
    return [
        each.size if each.size is not None else means.get((each.collection, each.asset), assumed) for each in wanted
    ]


def spread(actual: int, reserved: Iterable[int]) -> list[int]:
    """Divide an actual amount over reservations, each filled before the next.

    What exceeds them all is left out.

    >>> spread(120, [100, 50, 10])
    [100, 20, 0]
    """
    shares = []
    for amount in reserved:
        share = min(actual, amount)
        shares.append(share)
        actual -= share
    return shares


def with_rate(progress: Progress, rate: float) -> Progress:
    """Return the progress with its speed (bytes per second) and the seconds that remain at that speed."""
    left = progress.bytes - progress.bytes_done
    eta = 0.0 if left <= 0 else left / rate if rate > 0 else None
    return msgspec.structs.replace(progress, rate=rate, eta=eta)


def part_size(total: int | None, part_bytes: int) -> int:
    """Return the size of parts for an object of ``total`` bytes: S3 takes 10 000 parts at most.

    >>> part_size(None, 8 << 20) >> 20, part_size(200 << 30, 8 << 20) >> 20
    (8, 23)
    """
    mebibyte = 1 << 20
    needed = -(-(total or 0) // 9_000)
    return max(part_bytes, -(-needed // mebibyte) * mebibyte if needed > part_bytes else part_bytes)
