"""Runs as Kubernetes Jobs (batch/v1), in pods that the restricted Pod Security Standard admits.

A run's Job and the Secret of its token are named after the run, so that what a gateway left half done is met again.
With a queue the Job is made suspended and labelled for Kueue, which lets it begin once there is room.
"""

from typing import Protocol

from edges.model import Json
from harvest.executors.seams import Errand, Look
from harvest.settings_executors import KubernetesJobs

MANAGED = {"app.kubernetes.io/name": "lakegate", "app.kubernetes.io/component": "harvest-run"}
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
RUN_LABEL = "lakegate.io/harvest-run"
ORDER_LABEL = "lakegate.io/harvest-order"
KEPT_SECONDS = 600
"""How long the API server keeps a Job that has ended, for people to look at, where nobody deletes it."""

TRIES = 6
"""Pods of a Job that may fail."""


class JobsApi(Protocol):
    """The Kubernetes API, as far as it is needed; paths as in its URLs.

    Raises:
        ExecutorFailed: the API server does not answer, or refuses.
    """

    async def create(self, path: str, body: Json) -> None:
        """Create an object; nothing happens where it is there already."""
        ...

    async def get(self, path: str) -> Json | None:
        """Return an object, or None."""
        ...

    async def delete(self, path: str) -> None:
        """Delete an object and what belongs to it; nothing happens where it is not there."""
        ...


class KubernetesExecutor:
    """A :class:`harvest.executors.seams.Executor` that makes a Job for each run."""

    def __init__(self, *, api: JobsApi, settings: KubernetesJobs) -> None:
        self._api = api
        self._settings = settings

    async def start(self, errand: Errand) -> str:
        """Make a run's Secret and Job; return the Job's name."""
        await self._api.create(self._secrets, token_secret(errand, self._settings))
        await self._api.create(self._jobs, job(errand, self._settings))
        return job_name(errand.run)

    async def look(self, errand: Errand, handle: str) -> Look:
        """Tell how a run's Job is."""
        found = await self._api.get(f"{self._jobs}/{handle}")
        return Look(health="failed", reason="its Job is gone") if found is None else look_of(found)

    async def stop(self, errand: Errand, handle: str) -> None:
        """Delete a run's Job with its pods, and its Secret."""
        name = job_name(errand.run)
        await self._api.delete(f"{self._jobs}/{name}")
        await self._api.delete(f"{self._secrets}/{name}")

    @property
    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self._settings.namespace}/jobs"

    @property
    def _secrets(self) -> str:
        return f"/api/v1/namespaces/{self._settings.namespace}/secrets"


def job_name(run: str) -> str:
    """Return the name of a run's Job and Secret."""
    return f"lakegate-harvest-{run[:20]}"


def look_of(found: Json) -> Look:
    """Read the status of a Job.

    >>> look_of({"status": {"conditions": [{"type": "Failed", "status": "True", "message": "too long"}]}})
    Look(health='failed', reason='too long')
    """
    status = found.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            done = condition["type"] == "Complete"
            return Look(health="done" if done else "failed", reason=str(condition.get("message") or "")[:300])
    if (found.get("spec") or {}).get("suspend"):
        return Look(health="working", reason="its Job waits for admission")
    return Look(health="working", reason="" if status.get("active") else "its Job waits for pods")


def token_secret(errand: Errand, settings: KubernetesJobs) -> Json:
    """Return the Secret with a run's token."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(errand, settings),
        "type": "Opaque",
        "immutable": True,
        "stringData": {"token": errand.token},
    }


def job(errand: Errand, settings: KubernetesJobs) -> Json:
    """Return the Job of a run."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(errand, settings, queue=True),
        "spec": {
            "parallelism": errand.workers,
            "backoffLimit": TRIES,
            "activeDeadlineSeconds": int(errand.seconds),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "suspend": bool(settings.queue),
            "template": {"metadata": {"labels": _labels(errand)}, "spec": _pod(errand, settings)},
        },
    }


def _metadata(errand: Errand, settings: KubernetesJobs, *, queue: bool = False) -> Json:
    queued = {QUEUE_LABEL: settings.queue} if queue and settings.queue else {}
    return {
        "name": job_name(errand.run),
        "namespace": settings.namespace,
        "labels": _labels(errand) | queued,
        "annotations": {"lakegate.io/group": errand.group, "lakegate.io/target": errand.target},
    }


def _labels(errand: Errand) -> dict[str, str]:
    return {**MANAGED, RUN_LABEL: errand.run, ORDER_LABEL: errand.order}


def _pod(errand: Errand, settings: KubernetesJobs) -> Json:
    optional = {"serviceAccountName": settings.service_account, "priorityClassName": settings.priority_class}
    return {
        **{name: value for name, value in optional.items() if value},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 10,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(errand, settings)],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }


def _container(errand: Errand, settings: KubernetesJobs) -> Json:
    token = {"secretKeyRef": {"name": job_name(errand.run), "key": "token"}}
    return {
        "name": "harvest-worker",
        "image": settings.image,
        "command": ["lakegate", "harvest-worker", "--json"],
        "env": [
            {"name": "LAKEGATE_RUN_URL", "value": errand.url},
            {"name": "LAKEGATE_RUN", "value": errand.run},
            {"name": "LAKEGATE_RUN_TOKEN", "valueFrom": token},
        ],
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory},
            "limits": {"memory": settings.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108 - in the pod
    }
