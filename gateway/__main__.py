"""The ``lakegate`` command. Sub-commands are loaded when they are called: each needs only a part of the house."""

import importlib
import importlib.metadata

import click

COMMANDS = {
    "demo": ("gateway.cli.demo", "Bring up everything on this machine and tour the whole main job."),
    "serve": ("gateway.cli.serve", "Run the gateway."),
    "site": ("gateway.cli.site_tunnel", "Serve STAC items as a site; join an edge, route to it."),
    "config": ("gateway.cli.config", "Check a configuration file, or print its schema."),
    "search": ("gateway.cli.search", "Search all sites."),
    "place": ("gateway.cli.place", "Say where a computation would run, and why."),
    "access": ("gateway.cli.access", "Read beside the gateway: signed addresses, short-lived keys."),
    "harvest": ("gateway.cli.harvest", "Order copies into a bucket, and follow them."),
    "harvest-worker": ("gateway.cli.harvest_worker", "Carry the bytes of one run; started by executors."),
    "collection": ("gateway.cli.collection", "Keep collections of your own: create, load, share, delete."),
    "quota": ("gateway.cli.quota", "Say where quotas stand."),
    "sites": ("gateway.cli.sites", "List the sites and how they are."),
    "token": ("gateway.cli.token", "Issue, list and revoke API tokens."),
    "db": ("gateway.cli.db", "Migrate or check the database that several gateways share."),
    "operator": ("gateway.cli.operator", "Follow the custom resources of a Kubernetes cluster."),
}
"""Name -> module that has a command of that name, and the line for the list."""


class CommandTable(click.Group):
    """A group whose commands are imported by name when they are wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=CommandTable,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused, 4 no gateway there, 5 a site is missing.",
)
@click.version_option(importlib.metadata.version("lakegate"), prog_name="lakegate")
def main() -> None:
    """One address for many data lakes: search, compute, quotas and harvest over all of them."""


if __name__ == "__main__":
    main(prog_name="lakegate")
