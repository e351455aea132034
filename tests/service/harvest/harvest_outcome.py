"""What an order leaves behind once it has ended, looked at from outside: bucket, catalogue and ledger."""

from collections.abc import Callable

from harvest_scene import Live, sha256

from edges.model import Json


async def all_arrived(live: Live, bodies: dict[str, bytes], item_id: str = "i1") -> Json:
    """Find each body, by the name of its asset, once and right, and nothing beside them; return the item."""
    item = await live.catalogue.plain("s2", item_id)
    assert item is not None
    for name, body in bodies.items():
        assert await live.read(item["assets"][name]["href"]) == body
    assert len([found async for found in live.store.list_objects()]) == len(bodies)
    assert await live.store.list_uploads() == []
    return item


async def all_right(
    live: Live, bodies: dict[str, bytes], item_id: str = "i1", checksum: Callable[[bytes], str] = sha256
) -> None:
    """Find all arrived, told with their checksums, and charged as what they are; nothing is held any longer."""
    item = await all_arrived(live, bodies, item_id)
    for name, body in bodies.items():
        assert item["assets"][name]["file:checksum"] == checksum(body)
    total = sum(map(len, bodies.values()))
    taken = await live.taken()
    assert taken["storage_bytes"] == (total, 0)
    assert taken["harvest_bytes"] == (total, 0)
    assert taken["harvest_jobs"][1] == 0
