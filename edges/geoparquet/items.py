"""``python -m edges.geoparquet.items FILE``: the items of a stac-geoparquet file as lines, in a process of its own.

A file can be made to unfold into any size: what it takes is bounded here, and ends with the process.
"""

import resource
import sys
from pathlib import Path

import msgspec

from edges.geoparquet.read import NotGeoparquet, read_geoparquet

MOST_MEMORY = 6 << 30
"""Address space of the process, in bytes: libraries map much more than they use."""
EXIT_UNREADABLE = 3


def main(path: Path) -> int:
    """Write the items; return the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    encode, out = msgspec.json.Encoder().encode, sys.stdout.buffer
    try:
        for item in read_geoparquet(path, rows=200):
            out.write(encode(item) + b"\n")
        out.flush()
    except BrokenPipeError:
        return 0  # nobody wants the rest
    except (NotGeoparquet, OSError, MemoryError) as error:
        sys.stderr.write(f"{error or type(error).__name__}\n")
        return EXIT_UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
