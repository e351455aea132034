"""Keys of objects: safe, injective, never out of their folder."""

import re
from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from harvest.keys import MAX_KEY, file_name, group_prefix, object_key, segment

NAMES = st.text(max_size=400) | st.sampled_from(
    ["", ".", "..", "/", "a/../b", "\x00", "!2E", "~x", "%2e%2e", "é" * 300]
)


@given(NAMES)
def test_a_segment_holds_safe_characters_only_and_never_climbs(text):
    encoded = segment(text)
    assert re.fullmatch(r"[A-Za-z0-9._!~-]{1,200}", encoded)
    assert encoded not in (".", "..")
    assert not encoded.startswith("~")


@given(NAMES, NAMES)
def test_two_texts_never_share_a_segment(one, other):
    assert (segment(one) == segment(other)) == (one == other)


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_key_stays_below_its_prefix_within_the_length_that_s3_allows(group, collection, item, asset):
    prefix = group_prefix(group, collection)
    key = object_key(prefix, collection, item, asset, f"https://x.org/{asset}")
    assert key.startswith(prefix)
    assert len(key.encode()) <= MAX_KEY
    assert not key.startswith("/")
    assert all(part not in ("", ".", "..") for part in key.split("/"))


@given(NAMES, NAMES, NAMES, NAMES)
def test_assets_of_different_items_never_share_a_key(item, asset, other_item, other_asset):
    href = "https://x.org/same.tif"
    one, other = (object_key("", "c", *name, href) for name in ((item, asset), (other_item, other_asset)))
    assert (one == other) == ((item, asset) == (other_item, other_asset))


@given(NAMES)
def test_a_groups_folder_and_the_shared_pool_never_meet(collection):
    assert not object_key("", collection, "i", "a", "h").startswith(group_prefix("root/team", "x")[0])


@given(st.sampled_from(["http", "https", "s3", "HTTPS"]), st.text(alphabet="aB0/.:?#%2[]@;=~&+ \n\té", max_size=40))
def test_a_files_name_is_the_end_of_the_path_whatever_the_address_is_made_of(scheme, rest):
    address = f"{scheme}://x.org:80/{rest}"
    assert file_name(address) == unquote(urlsplit(address).path.rsplit("/", 1)[-1])


@given(st.from_regex(r"[A-Za-z0-9._-]{1,210}", fullmatch=True))
def test_a_safe_text_that_is_not_too_long_stands_for_itself(text):
    assert (segment(text) == text) == (len(text) <= 200 and text.strip(".") != "")


def test_the_signature_of_an_address_is_no_part_of_the_file_name():
    assert file_name("https://x.org/a/B02.tif?X-Amz-Signature=secret#f") == "B02.tif"
