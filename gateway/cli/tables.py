"""Tables for people; a pipe gets wide lines, so that nothing is cut off."""

from rich.console import Console
from rich.table import Table

_PIPE_COLUMNS = 240


def show(table: Table, *, empty: str) -> None:
    """Print a table, or what to say where it has no rows."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_COLUMNS)
    console.print(table if table.row_count else empty)
