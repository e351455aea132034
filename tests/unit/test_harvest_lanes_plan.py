"""Parts side by side: how many, which of them, and what their checksums make together."""

import os

import msgspec
import pytest
from awscrt import checksums

from edges.model import Part
from harvest.claims import ObjectClaim
from harvest.digest import Digest
from harvest.lanes import Lanes, Plan, lane_bytes, lanes_of
from harvest.multihash import Checksum
from harvest.upload import resumed

MIB = 1 << 20
CLAIM = ObjectClaim(
    id=1, target="edge-a", key="k", collection="c", item_id="i", asset="a", state="TRANSFERRING", sources=(), size=None,
    checksum=None, integrity="prefer", version="v", upload_id="u", part_bytes=5, source=None, validator='"v"', total=23,
    done=0, hash_state=None, digest=None, attempts=0, fence=2, visible=0,
)  # fmt: skip


def part(number: int, size: int = 5, crc: int | None = 7) -> Part:
    return Part(number=number, etag=f'"{number}"', size=size, crc64nvme=crc)


@pytest.mark.parametrize("sizes", [[10], [5, 5], [1, 7, 2], [0, 3, 0]])
def test_the_checksum_of_parts_together_is_that_of_the_whole(sizes):
    pieces = [os.urandom(size) for size in sizes]
    told = [(checksums.crc64nvme(piece), len(piece)) for piece in pieces]
    whole = checksums.crc64nvme(b"".join(pieces)).to_bytes(8, "big")
    assert Digest.of_parts(told).checksum().digest == whole
    assert Digest.of_parts(told, Checksum("crc64nvme", whole)).matches()
    assert not Digest.of_parts(told, Checksum("crc64nvme", bytes(8))).matches()


def test_what_is_on_its_way_in_all_lanes_is_no_more_than_one_large_part():
    for part_bytes in (1, 5 * MIB, 8 * MIB, 20 * MIB, 64 * MIB, 1 << 30):
        for most in (1, 2, 4, 16):
            size = lane_bytes(part_bytes, most)
            assert 0 < size <= part_bytes
            assert size >= min(5 * MIB, part_bytes)
            assert 1 <= lanes_of(part_bytes, size, most) <= most
            assert lanes_of(part_bytes, size, most) * size <= part_bytes


def test_the_first_lane_takes_parts_from_the_front_and_others_from_behind_each_once():
    plan = Plan(23, 5, {2})
    assert [plan.span(number) for number in (1, 5)] == [(0, 5), (20, 23)]
    assert (plan.first(), plan.last(), plan.last(), plan.first(), plan.first(), plan.last()) == (1, 5, 4, 3, None, None)
    plan.back(4)
    assert (plan.left, plan.first()) == (1, 4)


def test_an_object_always_has_one_lane_and_more_only_where_some_are_free():
    lanes = Lanes(2)
    with lanes.own():
        assert lanes.spare()
        assert not lanes.spare()
        assert not lanes.crowded
        with lanes.own():
            assert lanes.crowded
            lanes.give_back()
            assert not lanes.crowded
            assert not lanes.spare()
    assert lanes.spare()


def test_an_upload_is_gone_on_with_at_its_first_gap_whatever_came_beyond():
    upload = resumed(CLAIM, [part(1), part(4)], [part(1), part(4), part(5, 3)])
    assert upload is not None
    assert (upload.apart, upload.start, upload.bytes_there()) == (True, 5, 10)
    assert sorted(upload.confirmed) == [1, 4]


def test_an_upload_whose_parts_are_all_there_has_nothing_to_be_read():
    parts = [part(number) for number in range(1, 5)] + [part(5, 3)]
    upload = resumed(CLAIM, parts, parts)
    assert upload is not None
    assert upload.start == CLAIM.total


def test_an_upload_that_lost_a_part_is_not_gone_on_with():
    assert resumed(CLAIM, [part(1), part(2)], [part(2)]) is None
    assert resumed(CLAIM, [part(1)], [part(1, 4)]) is None


def test_an_upload_of_an_earlier_release_goes_on_by_its_running_checksum():
    running = Digest()
    running.update(b"12345")
    claim = msgspec.structs.replace(CLAIM, hash_state=running.state(), done=5)
    upload = resumed(claim, [part(1, crc=None)], [part(1)])
    assert upload is not None
    assert (upload.apart, upload.start) == (False, 5)
