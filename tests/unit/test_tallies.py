"""Counters that the event loop keeps as plain numbers are told as Prometheus' own client tells them."""

import re

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gateway.tallies import Spreads, Tallies


def told(registry: CollectorRegistry) -> list[str]:
    """Return what a scrape says, without when a series began, which is not told here."""
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if not re.search(r"_created\b", line))


def test_counters_are_told_as_the_client_library_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallies = Tallies("made", "What was made.", ("site", "how"), registry=ours)
    counter = Counter("made", "What was made.", ("site", "how"), registry=theirs)
    assert told(ours) == told(theirs)
    for site, count in (("a", 1), ("b", 3), ("a", 1), ('q"\\', 2)):
        tallies.add(site, "well", count=count)
        counter.labels(site, "well").inc(count)
    assert told(ours) == told(theirs)


def test_histograms_are_told_as_the_client_library_does_at_their_bounds_too() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bounds = (0.005, 0.5, 1.0, 30.0)
    spreads = Spreads("took", "How long it took.", "site", bounds=bounds, registry=ours)
    histogram = Histogram("took", "How long it took.", ("site",), buckets=bounds, registry=theirs)
    for site, seconds in (("a", 0.005), ("a", 0.0), ("b", 0.6), ("a", 31.0), ("b", 30.0)):
        spreads.observe(site, seconds)
        histogram.labels(site).observe(seconds)
    assert told(ours) == told(theirs)


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    Tallies("made", "What was made.", ("site",), registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Spreads("made_total", "Again.", "site", bounds=(1.0,), registry=registry)
