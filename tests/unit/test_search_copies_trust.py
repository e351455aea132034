"""Which sites are relied on for their copies: by an audit, until they are caught."""

import asyncio

import pytest
from copies_scene import ABLE, Counted, federation_over, filled, item, raw, registry_of, walked

from edges.model import Query, SortKey
from edges.stac.order import total_order
from gateway.search.copies import Copies
from gateway.search.copies_trust import CopiesTrust


async def test_a_pair_that_is_caught_is_told_at_both_sites() -> None:
    items = [item("a", at="2024-04-01T00:00:00Z")]
    registry = registry_of({f"s{n}": await filled(Counted(can=ABLE), items) for n in range(2)})
    await registry.probe()
    trust = CopiesTrust(registry=registry, audit_seconds=60)
    (pair,) = trust.pairs()
    trust.caught(pair)
    assert [[quirk.kind for quirk in site.quirk_report] for site in registry.sites()] == [["copies"], ["copies"]]


async def test_a_site_that_shares_nothing_by_its_operators_word_is_not_asked_until_it_is_caught() -> None:
    ours = [item(f"i{n}", at=f"2024-04-0{n}T00:00:00Z") for n in range(1, 5)]
    others = [item(f"j{n}", at=f"2024-04-0{n}T00:15:00Z") for n in range(1, 5)]
    lone = await filled(Counted(can=ABLE), others)
    registry = registry_of({"s0": await filled(Counted(can=ABLE), ours), "s1": lone}, disjoint={"s1"})
    await registry.probe()
    trust = CopiesTrust(registry=registry, audit_seconds=60)
    federation = federation_over(registry, (Copies(trust=trust),))
    assert trust.pairs() == []
    for dedup in ("replica", "observation"):
        found = await walked(federation, Query(limit=3, dedup=dedup))
        assert len(found) == 8
        page = await federation.search(Query(limit=3, dedup=dedup), user="u")
        assert sum(report.probes for report in page.reports) == 0
    await lone.put_items("c", [item("i1", at="2024-04-02T12:00:00Z")])
    found = await walked(federation, Query(limit=20))
    assert len(found) == 8  # both copies were on one page, and gave it away


async def test_audits_in_the_background_end_with_their_context() -> None:
    items = [item("a", at="2024-04-01T00:00:00Z"), item("b", at="2024-04-01T01:00:00Z")]
    sites = {f"s{n}": await filled(Counted(can=ABLE), items) for n in range(2)}
    registry = registry_of(sites)
    await registry.probe()
    trust = CopiesTrust(registry=registry, audit_seconds=0.001)
    (pair,) = trust.pairs()
    assert trust.need(pair, total_order(())).ids
    async with trust.running(), asyncio.timeout(5):
        while trust.need(pair, total_order(())).ids:  # noqa: ASYNC110  # a bounded poll: an audit tells nobody
            await asyncio.sleep(0)
    assert not trust.need(pair, total_order(())).bytes


async def test_a_pair_is_relied_on_for_orders_by_what_its_copies_agree_on() -> None:
    ours = [item("a", at="2024-04-01T00:00:00Z", told={"gsd": 10})]
    theirs = [item("a", at="2024-04-01T02:00:00+02:00", told={"gsd": 20})]
    registry = registry_of({"s0": await filled(Counted(can=ABLE), ours), "s1": await filled(Counted(can=ABLE), theirs)})
    await registry.probe()
    trust = CopiesTrust(registry=registry, audit_seconds=60)
    (pair,) = trust.pairs()
    await trust.audit(pair)
    assert not trust.need(pair, total_order(())).ids
    assert trust.need(pair, total_order((SortKey(field="properties.gsd"),))).ids
    trust.caught(pair)
    assert trust.need(pair, total_order(())).ids
    assert not trust.need(pair, total_order((SortKey(field="id"),))).ids


async def test_a_copy_on_another_page_that_the_audit_did_not_see_ends_the_trust_after_the_walk() -> None:
    agreed = [item(f"i{n}", at=f"2024-04-02T00:{n:02d}:00Z") for n in range(40)]
    one = await filled(Counted(can=ABLE), [*agreed, item("old", at="2020-01-01T00:00:01Z")])
    two = await filled(Counted(can=ABLE), [*agreed, item("old", at="2019-01-01T00:00:02Z"), item("b", at=None)])
    registry = registry_of({"s0": one, "s1": two})
    await registry.probe()
    trust = CopiesTrust(registry=registry, audit_seconds=60)
    federation = federation_over(registry, (Copies(trust=trust),))
    (pair,) = trust.pairs()
    query = Query(limit=41)
    assert len(await walked(federation, query)) == 43  # "old" twice: its copies stand on two pages
    assert not trust.need(pair, total_order(())).ids
    await trust.look_again()
    assert trust.need(pair, total_order(())).ids
    assert not trust.need(pair, total_order((SortKey(field="eo:cloud_cover"),))).ids
    assert len(await walked(federation, query)) == 42


async def test_looking_again_at_copies_that_agree_or_at_a_site_that_is_gone_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    days = [item(f"i{day}", at=f"2024-04-{day:02}T00:00:00Z") for day in range(1, 9)]
    other = Counted(can=ABLE)
    registry = registry_of({"s0": await filled(Counted(can=ABLE), days), "s1": await filled(other, days[::2])})
    await registry.probe()
    trust = CopiesTrust(registry=registry, audit_seconds=60)
    (pair,) = trust.pairs()
    await trust.audit(pair)
    for down in (False, True):
        assert trust.curious(pair)
        trust.keep({pair: {"s0": [raw(days[1])]}})
        assert not trust.curious(pair)
        other.down = down
        with caplog.at_level("INFO"):
            await trust.look_again()
        assert not trust.need(pair, total_order(())).ids
    assert [record.message for record in caplog.records] == ["copies could not be compared"]
