"""The schema's scripts and the named queries, as they are kept beside this module. Pure but for reading them."""

import re
from collections.abc import Sequence
from importlib import resources

from harvest.errors import NewerDatabase

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def queries() -> dict[str, str]:
    """Return all named queries, of every ``queries*.sql``.

    Raises:
        ValueError: two have the same name.
    """
    files = [each for each in resources.files("harvest").iterdir() if re.fullmatch(r"queries\w*\.sql", each.name)]
    return _once([pair for each in files for pair in _named(each.read_text(encoding="utf-8"))])


def queries_of_postgres() -> dict[str, str]:
    """Return the queries that PostgreSQL needs in words of its own, in place of those of the same name."""
    return _once(_named(resources.files("harvest").joinpath("postgres_queries.sql").read_text(encoding="utf-8")))


def _named(text: str) -> list[tuple[str, str]]:
    """Return the queries of one file with their names; what stands before the first says what the file is for."""
    pieces = _NAME.split(text)[1:]
    return [(name, sql.strip().rstrip(";")) for name, sql in zip(pieces[::2], pieces[1::2], strict=True)]


def _once(named: Sequence[tuple[str, str]]) -> dict[str, str]:
    found = dict(named)
    if len(found) < len(named):
        names = [name for name, _ in named]
        raise ValueError(f"two queries have the same name: {sorted({name for name in names if names.count(name) > 1})}")
    return found


def migrations() -> list[str]:
    """Return the scripts that make the schema, in order; each one is a step forward."""
    folder = resources.files("harvest").joinpath("migrations")
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name)
    return [each.read_text(encoding="utf-8") for each in files]


def not_newer(found: int, known: int) -> None:
    """Raise NewerDatabase where the schema that was found is of a newer release."""
    if found > known:
        raise NewerDatabase(f"the orders' database is of a newer release (schema {found}, known {known})")
