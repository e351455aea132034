"""``lakegate operator``: follows the custom resources of a Kubernetes cluster."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from gateway.cli.remote import EXIT_FAILED, EXIT_USAGE, CommandFailed
from gateway.logs import set_up_logs
from gateway.operator.edge_sites import Placing
from gateway.operator.errors import KubernetesError
from gateway.operator.running import LEASE, OperatorSettings, serve_operator


@click.command()
@click.option("--gateway", required=True, envvar="LAKEGATE_URL", help="The gateway's URL.")
@click.option("--token-file", type=click.Path(path_type=Path), required=True, help="A file with an admin's API token.")
@click.option("--namespace", required=True, envvar="POD_NAMESPACE", help="The gateway's namespace.")
@click.option("--deployment", default="", help="The gateway's Deployment, restarted when sites change.")
@click.option("--sites-secret", default="lakegate-sites", show_default=True, help="The Secret that sites go to.")
@click.option("--sites-folder", default="/etc/lakegate/sites", show_default=True, help="Where the gateway has it.")
@click.option("--lease", default=LEASE, show_default=True, help="The Lease by which one of several leads.")
@click.option(
    "--watch-namespace",
    "namespaces",
    multiple=True,
    help="Follow the HarvestRequests of this namespace only, and no EdgeSite or GroupQuota; may be given again.",
)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="For an operator outside of the cluster.")
@click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
)
@click.option("--json", "as_json", is_flag=True, help="Write logs as JSON lines.")
def operator(  # noqa: PLR0917 - one parameter per option: the framework calls by name
    gateway: str,
    token_file: Path,
    namespace: str,
    deployment: str,
    sites_secret: str,
    sites_folder: str,
    lease: str,
    namespaces: tuple[str, ...],
    kubeconfig: Path | None,
    log_level: str,
    as_json: bool,
) -> None:
    """Bring EdgeSite, GroupQuota and HarvestRequest objects about, until SIGTERM or Ctrl-C.

    Any number may run: the holder of the Lease works, the others wait.
    """
    if not token_file.is_file():
        raise CommandFailed(f"--token-file: {token_file} is no file", EXIT_USAGE)
    set_up_logs(log_level, as_json=as_json)
    settings = OperatorSettings(
        gateway=gateway,
        token_file=str(token_file),
        placing=Placing(namespace=namespace, deployment=deployment, secret=sites_secret, folder=sites_folder),
        kubeconfig=str(kubeconfig) if kubeconfig is not None else "",
        namespaces=namespaces,
        lease=lease,
    )
    serving = serve_operator(settings, ready=lambda identity: click.echo(f"Lakegate's operator is {identity}"))
    try:
        asyncio.run(_until_stopped(serving))
    except KubernetesError as error:
        raise CommandFailed(str(error), EXIT_FAILED) from error


async def _until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
