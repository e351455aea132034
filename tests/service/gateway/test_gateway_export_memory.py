"""Exports of any size in the same memory: 200,000 items, by the peak of a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.service

FEW, MANY = 20_000, 200_000
MORE_MEGABYTES = 96
"""Allowed for ten times as many items, which are 80 megabytes more as JSON and several times that as objects."""

_CONVERT = """
import resource, sys
from pathlib import Path
from edges.geoparquet.write import write_geoparquet
write_geoparquet(Path(sys.argv[1]), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def lines(count: int) -> Iterator[str]:
    for n in range(count):
        yield json.dumps(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": f"i{n}", "collection": "c",
                "geometry": {"type": "Point", "coordinates": [n % 360 - 180.0, 1.5]}, "bbox": [1, 2, 3, 4],
                "properties": {"datetime": "2024-01-01T00:00:00Z", "eo:cloud_cover": n % 100, f"only:{n % 7}": n},
                "assets": {"data": {"href": f"https://x.example/{n}.tif"}}, "links": [],
            }
        ) + "\n"  # fmt: skip


def test_ten_times_as_many_items_are_written_in_the_same_memory(tmp_path: Path) -> None:
    peaks = []
    for count in (FEW, MANY):
        source, target = tmp_path / "items.ndjson", tmp_path / f"{count}.parquet"
        with source.open("w") as file:
            file.writelines(lines(count))
        command = [sys.executable, "-c", _CONVERT, str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        peaks.append(int(done.stdout))
        assert pq.read_metadata(target).num_rows == count
    assert peaks[1] - peaks[0] < MORE_MEGABYTES, peaks
