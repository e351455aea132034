"""Results that are kept by texts which somebody else writes: only by short ones, so that what is kept stays small."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

LONGEST = 4_096
"""Characters and bytes of all texts together: longer ones are worked on anew each time."""


def kept(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that keeps ``most`` results of a function of texts and bytes, given by place."""

    def keeping(function: Callable[P, R]) -> Callable[P, R]:
        cached = functools.lru_cache(maxsize=most)(function)

        @functools.wraps(function)
        def asked(*texts: P.args, **_: P.kwargs) -> R:
            short = sum(map(len, cast("tuple[str, ...]", texts))) <= LONGEST
            return cached(*texts) if short else function(*texts)  # type: ignore[call-arg]

        return asked

    return keeping
