"""``lakegate access``: signed addresses, or keys for the shell, to read beside the gateway."""

import shlex
from typing import Any

import click

from gateway.cli.remote import EXIT_PARTIAL, Remote, print_json, remote_options


@click.command()
@click.argument("collection")
@click.argument("items", nargs=-1)
@click.option("--site", help="At this site only; by default the first one that has it.")
@click.option("--asset", "assets", multiple=True, help="This asset; may be given several times. By default all.")
@click.option("--keys", is_flag=True, help="Short-lived S3 keys in place of signed addresses.")
@click.option("--seconds", type=int, help="How long it is needed; the site may give less.")
@remote_options
@click.pass_context
def access(
    context: click.Context, /, collection: str, items: tuple[str, ...], remote: Remote, as_json: bool, **asked: Any
) -> None:
    """Give access to items beside the gateway; to a whole collection where no item is named.

    Addresses are printed one a line. Keys are printed for `eval "$(lakegate access --keys ...)"`: GDAL, boto3 and
    others find them in the environment. Exit code 5 if a part is refused.
    """
    named = {"collection": collection, "site": asked["site"], "assets": list(asked["assets"]) or None}
    wanted = [named | {"item": each} for each in items or (None,)]
    body = {
        "items": [{name: value for name, value in each.items() if value is not None} for each in wanted],
        "give": "keys" if asked["keys"] else "urls",
        **({"seconds": asked["seconds"]} if asked["seconds"] else {}),
    }
    told = remote.call("POST", "/access", body)
    if as_json:
        print_json(told)
    else:
        _print(told)
    for refused in told["refused"]:
        named_part = "/".join(refused[name] for name in ("site", "collection", "item", "asset") if name in refused)
        click.echo(f"Refused: {named_part}: {refused['reason']}", err=True)
    if told["truncated"]:
        click.echo("The collection has more items than one answer holds.", err=True)
    if told["refused"] or told["truncated"]:
        context.exit(EXIT_PARTIAL)


def _print(told: dict[str, Any]) -> None:
    for each in told.get("urls", ()):
        click.echo(each["href"])
    keys = told.get("keys", ())
    for number, each in enumerate(keys):
        click.echo(f"# {each['site']} until {each['expires']}: {', '.join(each['objects'])}")
        mark = "# " if number else ""  # the environment has room for one
        for name, value in each["environment"].items():
            click.echo(f"{mark}export {name}={shlex.quote(value)}")
