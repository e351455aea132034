"""What is kept by texts of others stays small, however long these are."""

from edges.kept import LONGEST, kept


def test_results_of_short_texts_are_kept_and_those_of_long_ones_are_found_anew() -> None:
    asked: list[tuple[str, bytes]] = []

    @kept(2)
    def both(first: str, second: bytes) -> int:
        asked.append((first, second))
        return len(first) + len(second)

    assert [both("a", b"b"), both("a", b"b")] == [2, 2]
    assert len(asked) == 1
    long = "x" * LONGEST
    assert [both(long, b"b"), both(long, b"b")] == [LONGEST + 1] * 2
    assert len(asked) == 3
    assert both.__name__ == "both"
