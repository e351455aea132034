"""``lakegate harvest-worker``: carries the bytes of one run, wherever an executor started it."""

import asyncio
import os
import sys
import threading

import click

from gateway.cli.remote import EXIT_FAILED, EXIT_REFUSED, EXIT_USAGE, CommandFailed
from gateway.logs import set_up_logs
from harvest.errors import HarvestError, RunUnknown
from harvest.far_worker import work_for

VARIABLES = ("LAKEGATE_RUN_URL", "LAKEGATE_RUN", "LAKEGATE_RUN_TOKEN")


@click.command(name="harvest-worker")
@click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
)
@click.option("--json", "as_json", is_flag=True, help="Write logs as JSON lines.")
@click.option("--tied", is_flag=True, help="End as soon as standard input is closed: with who started this.")
def harvest_worker(log_level: str, as_json: bool, tied: bool) -> None:
    """Carry what a run has to carry, then end. Started by executors, not by people.

    The environment names the gateway (LAKEGATE_RUN_URL), the run (LAKEGATE_RUN) and its token (LAKEGATE_RUN_TOKEN).
    """
    url, run, token = (os.environ.get(name, "") for name in VARIABLES)
    if not (url and run and token):
        raise CommandFailed(f"the environment must set {', '.join(VARIABLES)}", EXIT_USAGE)
    del os.environ["LAKEGATE_RUN_TOKEN"]  # nothing that is started from here needs it
    set_up_logs(log_level, as_json=as_json)
    if tied:
        threading.Thread(target=_end_with_parent, name="tied", daemon=True).start()
    try:
        asyncio.run(work_for(url, run, token))
    except RunUnknown as error:
        raise CommandFailed(str(error), EXIT_REFUSED) from error
    except HarvestError as error:
        raise CommandFailed(str(error), EXIT_FAILED) from error


def _end_with_parent() -> None:
    """Wait until standard input is closed, and end at once: what was in hand is taken up by another worker."""
    sys.stdin.buffer.read()
    os._exit(1)
