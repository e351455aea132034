"""The ``lakegate`` command."""

import importlib.metadata

import click

from gateway.cli.config import config
from gateway.cli.demo import demo
from gateway.cli.harvest import harvest
from gateway.cli.place import place
from gateway.cli.quota import quota
from gateway.cli.search import search
from gateway.cli.serve import serve
from gateway.cli.site import site
from gateway.cli.sites import sites
from gateway.cli.token import token


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused, 4 no gateway there, 5 a site is missing.",
)
@click.version_option(importlib.metadata.version("lakegate"), prog_name="lakegate")
def main() -> None:
    """One address for many data lakes: search, compute, quotas and harvest over all of them."""


for command in (demo, serve, site, config, search, place, harvest, quota, sites, token):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="lakegate")
