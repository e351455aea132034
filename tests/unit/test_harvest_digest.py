"""The checksum of a stream: right, kept over a crash, and as STAC writes it."""

import hashlib

import pytest
from awscrt import checksums
from hypothesis import given
from hypothesis import strategies as st

from harvest import digest as digest_module
from harvest.digest import Digest
from harvest.multihash import Checksum, of_sha256, parse, text

PIECES = st.lists(st.binary(max_size=300), max_size=6)
SHA256 = Checksum("sha256", bytes(32))


def truth(algorithm: str, body: bytes) -> bytes:
    if algorithm == "crc64nvme":
        return checksums.crc64nvme(body).to_bytes(8, "big")
    return hashlib.new(algorithm, body, usedforsecurity=False).digest()


@given(before=PIECES, after=PIECES, algorithm=st.sampled_from(["crc64nvme", "sha256"]))
def test_a_kept_state_goes_on_as_if_it_had_never_been_left(before, after, algorithm):
    first = Digest(otherwise=algorithm)
    for piece in before:
        first.update(piece)
    state = first.state()
    assert Digest.resumable(state, None, algorithm)
    second = Digest(state=state, otherwise=algorithm)
    for piece in after:
        second.update(piece)
    assert second.checksum() == Checksum(algorithm, truth(algorithm, b"".join(before + after)))
    assert first.checksum() == Checksum(algorithm, truth(algorithm, b"".join(before)))


@pytest.mark.parametrize("algorithm", ["crc64nvme", "sha256", "md5"])
def test_bytes_are_summed_up_whatever_holds_them(algorithm):
    body = bytes(range(256)) * 40
    writable = bytearray(body)
    pieces = [body, writable, memoryview(body)[7:], memoryview(writable)[7:900], memoryview(writable)[3:3], b""]
    digest = Digest(Checksum(algorithm, truth(algorithm, b"".join(map(bytes, pieces)))))
    for piece in pieces:
        digest.update(piece)
    assert digest.matches()


def test_a_state_of_one_function_is_not_gone_on_from_with_another():
    crc, sha = Digest().state(), Digest(SHA256).state()
    assert not Digest.resumable(crc, SHA256)
    assert not Digest.resumable(sha, None)
    assert not Digest.resumable(sha[:-1], SHA256)
    assert not Digest.resumable(None, None)


def test_without_the_library_the_sha256_is_right_and_its_state_is_not_kept(monkeypatch):
    kept = Digest(SHA256).state()
    monkeypatch.setattr(digest_module, "_LIBRARY", None)
    plain = Digest(otherwise="sha256")
    plain.update(b"abc")
    assert plain.checksum().digest == hashlib.sha256(b"abc").digest()
    assert plain.state() is None
    assert not Digest.resumable(kept, SHA256)


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha512", "sha384", "sha256", "crc64nvme"])
def test_what_is_announced_is_what_is_checked(algorithm):
    right = Checksum(algorithm, truth(algorithm, b"data"))
    for body, holds in ((b"data", True), (b"dat4", False)):
        digest = Digest(right)
        digest.update(body)
        assert digest.matches() is holds
        assert digest.checksum() == Checksum(algorithm, truth(algorithm, body))
    assert parse(text(right)) == right


def test_the_crc_is_that_of_the_catalogue_of_crcs():
    digest = Digest()
    digest.update(b"123456789")
    assert digest.multihash() == "e50208ae8b14860a799888"
    assert digest.matches()


def test_a_sha256_is_told_as_a_multihash():
    told = of_sha256(hashlib.sha256(b"x").digest())
    assert parse(told) == Checksum("sha256", hashlib.sha256(b"x").digest())


@pytest.mark.parametrize("wrong", [None, 1, "", "1220", "1220zz" + "0" * 62, "d41d8cd98f00b204e9800998ecf8427e"])
def test_what_is_no_multihash_that_we_can_check_is_not_believed(wrong):
    assert parse(wrong) is None
