"""``lakegate quota policies|set-policy|delete-policy|grants|grant|revoke``: limits while the gateway runs."""

from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.table import Table

from gateway.cli import tables
from gateway.cli.amounts import amount_option, seconds_option, window, written
from gateway.cli.remote import Remote, print_json, remote_options
from quotas.model import RESOURCES

_why = click.option("--why", required=True, help="The reason; it stands in the history.")


@click.command()
@remote_options
def policies(remote: Remote, as_json: bool) -> None:
    """List the policies that bind your groups; an administrator sees all."""
    answer = remote.call("GET", "/quotas/policies")
    if as_json:
        print_json(answer)
        return
    table = Table("name", "group", "applies", "edge", "limit", "kind", "on exceed", "mode", "from", "why")
    for each in answer["policies"]:
        limit = written(each["amount"], RESOURCES[each["resource"]]) + window(each["window_seconds"], each["reset"])
        names = [each[name] for name in ("name", "group", "applies", "edge")]
        source = each["source"] + (f" {each['by']}" if each["by"] else "")
        table.add_row(*names, limit, each["kind"], each["on_exceed"], each["mode"], source, each["why"])
    tables.show(table, empty="There are no policies.")


@click.command("set-policy")
@click.argument("name")
@click.option("--group", required=True, help="A group path, or * for all groups.")
@click.option("--resource", required=True, type=click.Choice(list(RESOURCES)))
@click.option("--kind", required=True, type=click.Choice(["concurrent", "stock", "rate", "window"]))
@click.option("--amount", required=True, callback=amount_option, help="The limit, as 8, 0.5, 32Gi or 10GB.")
@click.option("--window", "window_seconds", callback=seconds_option, help="Of kinds rate and window, as 1s or 1d.")
@click.option("--month", is_flag=True, help="A window that begins anew each month.")
@click.option("--applies", type=click.Choice(["group", "each-user", "each-child"]), default="group", show_default=True)
@click.option("--edge", default="*", show_default=True, help="An edge, or patterns with commas.")
@click.option("--borrow", callback=amount_option, help="What may be taken beyond, while the group above has it left.")
@click.option("--lend", callback=amount_option, help="What others may take of it meanwhile; by default all.")
@click.option("--weight", type=float, help="The share where it waits in line.")
@click.option("--on-exceed", type=click.Choice(["queue", "reject", "trim", "degrade"]), default="reject")
@click.option("--mode", type=click.Choice(["enforce", "shadow"]), default="enforce", show_default=True)
@click.option("--contact", default="", help="Whom to ask for more.")
@_why
@remote_options
def set_policy(remote: Remote, as_json: bool, name: str, month: bool, **given: Any) -> None:
    """Add the policy NAME, or replace it, also a configured one. Needs an administrator."""
    body = {key: value for key, value in given.items() if value is not None}
    if "window_seconds" in body:
        body["window_seconds"] = int(body["window_seconds"])
    if month:
        body["reset"] = "month"
    answer = remote.call("PUT", f"/quotas/policies/{quote(name, safe='')}", body)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"policy {name} holds")


@click.command("delete-policy")
@click.argument("name")
@_why
@remote_options
def delete_policy(remote: Remote, as_json: bool, name: str, why: str) -> None:
    """Delete an administrator's policy NAME; a configured one of that name holds again."""
    remote.call("DELETE", f"/quotas/policies/{quote(name, safe='')}?{urlencode({'why': why})}")
    if as_json:
        print_json({"deleted": name})
    else:
        click.echo(f"policy {name} is deleted")


@click.command()
@remote_options
def grants(remote: Remote, as_json: bool) -> None:
    """List the temporary raises that are not over."""
    answer = remote.call("GET", "/quotas/grants")
    if as_json:
        print_json(answer)
        return
    table = Table("id", "policy", "holder", "amount", "expires", "by", "why")
    for each in answer["grants"]:
        names = [each[name] for name in ("id", "policy", "holder")]
        table.add_row(*names, f"{each['amount']:,.6g}", each["expires_at"], each["by"], each["why"])
    tables.show(table, empty="No limit is raised.")


@click.command()
@click.argument("policy")
@click.argument("holder")
@click.option("--amount", required=True, callback=amount_option, help="By how much, as 8, 0.5, 32Gi or 10GB.")
@click.option("--for", "expires_in", required=True, callback=seconds_option, help="How long, as 12h or 30d.")
@_why
@remote_options
def grant(remote: Remote, as_json: bool, **body: Any) -> None:
    """Raise the limit of POLICY for HOLDER (root/org/team, or root/org/team/~user) for a time."""
    answer = remote.call("POST", "/quotas/grants", body)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"grant {answer['id']} until {answer['expires_at']}")


@click.command()
@click.argument("grant_id", metavar="ID")
@_why
@remote_options
def revoke(remote: Remote, as_json: bool, grant_id: str, why: str) -> None:
    """End the grant ID early."""
    remote.call("DELETE", f"/quotas/grants/{quote(grant_id, safe='')}?{urlencode({'why': why})}")
    if as_json:
        print_json({"revoked": grant_id})
    else:
        click.echo(f"grant {grant_id} is over")


COMMANDS = (policies, set_policy, delete_policy, grants, grant, revoke)
