import subprocess
import sys
import threading

import msgspec

from edges.stac.geometry import query_shape, shape_of

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}

SAME_AREA_IN_FOUR_THREADS = """
import json, math, threading
from edges.stac.geometry import query_shape, shape_test

def star(corners, size, x, y):
    turns = [2 * math.pi * corner / corners for corner in range(corners)]
    sizes = [size * (1 + corner % 2 / 3) for corner in range(corners)]
    ring = [[x + long * math.cos(turn), y + long * math.sin(turn)] for long, turn in zip(sizes, turns)]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}

ITEMS = [json.dumps(star(8, 3, 5 * number - 50, 2 * number - 20)).encode() for number in range(20)]
together = threading.Barrier(4)

def search():
    for number in range(1_000):
        together.wait()
        test = shape_test(query_shape("intersects", star(200, 20 + number / 10_000, 0, 0)))
        for item in ITEMS:
            test(item)

threads = [threading.Thread(target=search) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def read_elsewhere(geometry):
    read = []
    thread = threading.Thread(target=lambda: read.append(shape_of(geometry)))
    thread.start()
    thread.join()
    return read[0]


def test_each_query_has_a_shape_of_its_own():
    first, second = query_shape("intersects", SQUARE), query_shape("intersects", SQUARE)
    assert first.equals(second)
    assert first is not second
    assert shape_of(SQUARE) is not first


def test_a_shape_that_one_thread_read_is_seen_by_no_other():
    raw = msgspec.json.encode(SQUARE)
    here = shape_of(raw)
    assert shape_of(raw) is here, "the tests of one filter read an item once"
    assert read_elsewhere(raw).equals(here)
    assert read_elsewhere(raw) is not here


def test_searches_of_the_same_area_in_several_threads_do_not_end_the_process():
    ended = subprocess.run(
        [sys.executable, "-c", SAME_AREA_IN_FOUR_THREADS], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
