"""``python -m edges.geoparquet items.ndjson items.parquet``: convert, and tell how far it is, a JSON line at a time."""

import argparse
import errno
import gc
import json
import sys
from pathlib import Path

from edges.geoparquet.lines import NotItems
from edges.geoparquet.write import write_geoparquet

EXIT_FAILED, EXIT_DISK_FULL = 1, 7


def main() -> int:
    """Return 0, or why it failed; the last line of standard error says it in words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--about", type=json.loads, default={}, help="JSON for the file's metadata key lakegate")
    given = parser.parse_args()
    gc.disable()  # values of JSON hold no cycles; looking for some takes a third of the time
    try:
        written = write_geoparquet(given.source, given.target, about=given.about, progress=_tell)
    except NotItems as error:
        return _failed(str(error), EXIT_FAILED)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _failed(f"{given.target}: {error.strerror or error}", EXIT_DISK_FULL if full else EXIT_FAILED)
    _tell("done", written)
    return 0


def _tell(phase: str, items: int) -> None:
    sys.stdout.write(json.dumps({"phase": phase, "items": items}) + "\n")
    sys.stdout.flush()


def _failed(reason: str, code: int) -> int:
    sys.stderr.write(reason + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
