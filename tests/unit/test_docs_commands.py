"""What the documentation says of the ``lakegate`` command is what it takes."""

from collections.abc import Iterator
from pathlib import Path

import click

from gateway.__main__ import main

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
EVERYWHERE = {"--url", "--token", "--timeout", "--json", "--help", "-h"}
"""Told once, in ``docs/clients.md``."""


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield everything that can be run, by its name."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, f"{path} {name}")


def row(path: str, command: click.Command) -> str:
    """Return what the page has to say of a command: what it takes, what it does, its options."""
    arguments = [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    options = [
        f"`{each.opts[-1]}`"
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden and not EVERYWHERE.intersection(each.opts)
    ]
    does = (command.help or "").split("\n\n")[0].replace("\n", " ").strip()
    cells = (f"`{' '.join([path, *arguments])}`", does, " ".join(options))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace("  |", " |")


def _argument(argument: click.Argument) -> str:
    many = "..." if argument.nargs == -1 else ""
    name = argument.metavar or f"{(argument.name or '').upper()}{many}"
    return name if argument.required else f"[{name.removeprefix('[').removesuffix(']')}]"


def test_every_command_is_told_with_its_options_and_no_other_is() -> None:
    told = [line for line in PAGE.splitlines() if line.startswith("| `lakegate ")]
    taken = [row(path, command) for path, command in commands(main, "lakegate")]
    assert sorted(told) == sorted(taken)
