"""The Kubernetes API as harvests need it: Jobs and Secrets made, read and deleted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from edges.model import Json
from gateway.operator.api import KubernetesApi, connected
from gateway.operator.errors import Conflicted, KubernetesError, NotThere
from harvest.executors.kubernetes import KubernetesExecutor
from harvest.executors.seams import ExecutorFailed
from harvest.settings_executors import KubernetesJobs


class Jobs:
    """A :class:`harvest.executors.kubernetes.JobsApi`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def create(self, path: str, body: Json) -> None:
        try:
            with suppress(Conflicted):
                await self._api.create(path, body)
        except KubernetesError as error:
            raise ExecutorFailed(f"kubernetes: {error}") from error

    async def get(self, path: str) -> Json | None:
        try:
            return await self._api.get(path)
        except NotThere:
            return None
        except KubernetesError as error:
            raise ExecutorFailed(f"kubernetes: {error}") from error

    async def delete(self, path: str) -> None:
        try:
            with suppress(NotThere):
                await self._api.delete(path)
        except KubernetesError as error:
            raise ExecutorFailed(f"kubernetes: {error}") from error


@asynccontextmanager
async def kubernetes_executor(settings: KubernetesJobs) -> AsyncIterator[KubernetesExecutor]:
    """Connect to the API server, and let runs be Jobs there.

    Raises:
        KubernetesError: there is no way to it.
    """
    async with connected(Path(settings.kubeconfig) if settings.kubeconfig else None) as api:
        yield KubernetesExecutor(api=Jobs(KubernetesApi(api=api)), settings=settings)
