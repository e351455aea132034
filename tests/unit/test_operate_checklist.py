"""docs/helm-checklist.md names tests that there are, for each of its rows."""

import re

import pytest
from helm_program import ROOT

PAGE = (ROOT / "docs" / "helm-checklist.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
}


def test_the_checklist_has_all_of_its_rows():
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 18))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_names_tests_that_there_are(row: tuple[str, str, str]):
    named = re.findall(r"`(\w+)`", row[2])
    assert named
    assert all(name.startswith("test_") for name in named)
    assert set(named) <= TESTS


def test_no_page_of_operating_names_a_test_that_is_not_there():
    for page in ("operations.md", "operator.md", "helm-checklist.md"):
        found = set(re.findall(r"\btest_\w+(?!\.py)\b", (ROOT / "docs" / page).read_text()))
        files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
        assert found <= TESTS | files, page
