"""The hash whose state can be kept, and the checksums of the STAC File extension."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest import digest as digest_module
from harvest.digest import Digest
from harvest.multihash import Checksum, of_sha256, parse


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.binary(max_size=300), max_size=6))
def test_a_hash_that_goes_on_from_a_kept_state_ends_like_one_that_never_stopped(before, after):
    first = Digest()
    for piece in before:
        first.update(piece)
    state = first.state()
    if state is None:
        pytest.skip("libcrypto is not reachable here")
    assert Digest.resumable(state, None)
    second = Digest(state=state)
    for piece in after:
        second.update(piece)
    assert second.sha256() == hashlib.sha256(b"".join(before + after)).digest()
    assert first.sha256() == hashlib.sha256(b"".join(before)).digest()


def test_without_libcrypto_the_hash_is_right_and_has_no_state(monkeypatch):
    monkeypatch.setattr(digest_module, "_LIBRARY", None)
    plain = Digest()
    plain.update(b"abc")
    assert plain.sha256() == hashlib.sha256(b"abc").digest()
    assert plain.state() is None
    assert not Digest.resumable(b"anything", None)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "sha512"])
def test_other_checksums_are_checked_beside_the_sha256(algorithm):
    right = Checksum(algorithm, hashlib.new(algorithm, b"data", usedforsecurity=False).digest())
    for body, holds in ((b"data", True), (b"date", False)):
        digest = Digest(right)
        digest.update(body)
        assert digest.matches() is holds
        assert digest.sha256() == hashlib.sha256(body).digest()
        assert digest.state() is None


@pytest.mark.parametrize("state", [None, b"", b"other-tag:" + bytes(112), b"short"])
def test_a_foreign_state_is_not_gone_on_from(state):
    assert not Digest.resumable(state, None)


def test_a_multihash_reads_back():
    told = of_sha256(hashlib.sha256(b"x").digest())
    assert parse(told) == Checksum("sha256", hashlib.sha256(b"x").digest())


@pytest.mark.parametrize("text", ["d41d8cd98f00b204e9800998ecf8427e", "1220ab", "", None, 7, "1220" + "zz" * 32])
def test_what_is_no_multihash_is_not_believed(text):
    assert parse(text) is None
