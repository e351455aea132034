"""The operator as a whole: builds its parts, and owns their lifetimes."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from edges.model import Frozen
from gateway.operator.api import KubernetesApi, connected
from gateway.operator.controller import Controller, ControllerTimes, Kind
from gateway.operator.edge_sites import EdgeSites, Placing
from gateway.operator.events import Recorder
from gateway.operator.gateway_api import GatewayApi
from gateway.operator.group_quotas import GroupQuotas
from gateway.operator.harvest_requests import HarvestRequests
from gateway.operator.informer import Informer, WatchTimes
from gateway.operator.leader import Leadership, LeaseTimes

_log = logging.getLogger(__name__)

LEASE = "lakegate-operator"


class OperatorTimes(Frozen):
    """All times of an operator; ``harvest_seconds`` is how often a harvest that runs is looked at."""

    lease: LeaseTimes = LeaseTimes()
    watch: WatchTimes = WatchTimes()
    controller: ControllerTimes = ControllerTimes()
    harvest_seconds: float = 10.0


class OperatorSettings(Frozen):
    """What an operator is told: the gateway's URL, the file of its token, and where things are.

    ``kubeconfig`` is for an operator outside of the cluster; without one it comes in as its pod's service account.
    ``namespaces`` bounds it to the HarvestRequests of these: EdgeSite and GroupQuota are of the whole cluster, and so
    are not followed then. Operators agree who works by ``lease``: those of another gateway need another one.
    """

    gateway: str
    token_file: str
    placing: Placing
    kubeconfig: str = ""
    namespaces: tuple[str, ...] = ()
    lease: str = LEASE
    times: OperatorTimes = OperatorTimes()


class Operator:
    """A running operator: leading, or ready to lead."""

    def __init__(self, *, leadership: Leadership, controllers: Callable[[], list[Controller]]) -> None:
        self.leadership = leadership
        self.controllers: list[Controller] = []
        self._made = controllers

    async def run(self) -> None:
        """Run for ever. Each time that it comes to lead, it begins with what is there."""
        await self.leadership.lead(self._lead)

    async def _lead(self) -> None:
        self.controllers = self._made()
        async with asyncio.TaskGroup() as group:
            for controller in self.controllers:
                group.create_task(controller.run())


@asynccontextmanager
async def running_operator(settings: OperatorSettings) -> AsyncIterator[Operator]:
    """Run an operator while the context lasts.

    Raises:
        KubernetesError: there is no way to the Kubernetes API.
    """
    async with AsyncExitStack() as stack:
        operator = await _built(settings, stack)
        task = asyncio.create_task(operator.run(), name="operator")
        try:
            yield operator
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def serve_operator(settings: OperatorSettings, *, ready: Callable[[str], None]) -> None:
    """Run until cancelled; ``ready`` is told the operator's identity.

    Raises:
        KubernetesError: there is no way to the Kubernetes API.
    """
    async with AsyncExitStack() as stack:
        operator = await _built(settings, stack)
        ready(operator.leadership.identity)
        await operator.run()


async def _built(settings: OperatorSettings, stack: AsyncExitStack) -> Operator:
    client = await stack.enter_async_context(connected(Path(settings.kubeconfig) if settings.kubeconfig else None))
    session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
    times, placing = settings.times, settings.placing
    leadership = Leadership(
        api=KubernetesApi(api=client),
        namespace=placing.namespace,
        name=settings.lease,
        identity=f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        times=times.lease,
    )
    api = KubernetesApi(api=client, guard=leadership.check)
    gateway = GatewayApi(
        url=settings.gateway, token=lambda: _token(settings.token_file), session=session, guard=leadership.check
    )
    return Operator(
        leadership=leadership,
        controllers=lambda: _controllers(api, gateway, settings, leadership.identity),
    )


def _controllers(
    api: KubernetesApi, gateway: GatewayApi, settings: OperatorSettings, identity: str
) -> list[Controller]:
    recorder, times = Recorder(api=api, instance=identity), settings.times

    def controller(kind: Kind, namespace: str = "") -> Controller:
        def informer(on_change: Callable[[str], None]) -> Informer:
            resource = kind.resource
            return Informer(api=api, resource=resource, on_change=on_change, namespace=namespace, times=times.watch)

        return Controller(kind=kind, api=api, informer=informer, recorder=recorder, times=times.controller)

    harvests = HarvestRequests(gateway=gateway, api=api, again_seconds=times.harvest_seconds)
    if settings.namespaces:
        return [controller(harvests, namespace) for namespace in dict.fromkeys(settings.namespaces)]
    sites = controller(
        EdgeSites(
            gateway=gateway, api=api, placing=settings.placing, objects=lambda: list(sites.informer.objects.values())
        )
    )
    return [sites, controller(GroupQuotas(gateway=gateway)), controller(harvests)]


def _token(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()
