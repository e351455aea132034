"""HarvestRequest: one order of a harvest, made in the name of the user whose token its namespace holds."""

import base64
import binascii

from edges.model import Json
from gateway.operator.api import KubernetesApi
from gateway.operator.conditions import Condition, Outcome
from gateway.operator.errors import Forbidden, GatewayRefused, Misconfigured, NotThere
from gateway.operator.gateway_api import GatewayApi
from gateway.operator.model import order_inputs
from gateway.operator.resources import HARVEST_REQUESTS, SECRETS, namespace_of

_FIGURES = {
    "items": "items",
    "items_done": "itemsDone",
    "objects": "objects",
    "objects_done": "objectsDone",
    "objects_failed": "objectsFailed",
    "bytes": "bytes",
    "bytes_done": "bytesDone",
}
_READY: dict[str, tuple[str, str]] = {
    "accepted": ("False", "Waiting"),
    "running": ("False", "Running"),
    "successful": ("True", "Completed"),
    "failed": ("False", "Failed"),
    "dismissed": ("False", "Cancelled"),
}
"""The Ready condition for each status of a job (OGC API Processes 1.0, section 7.12)."""
_OVER = frozenset({"successful", "failed", "dismissed"})


class HarvestRequests:
    """What to do about HarvestRequest objects. ``again_seconds`` is how often a job that runs is looked at."""

    resource = HARVEST_REQUESTS

    def __init__(self, *, gateway: GatewayApi, api: KubernetesApi, again_seconds: float = 10.0) -> None:
        self._gateway = gateway
        self._api = api
        self._again = again_seconds

    def holds(self, found: Json) -> bool:
        """Tell whether an order has to be cancelled before the object goes."""
        return bool(found["spec"].get("deletionPolicy", "Cancel") == "Cancel")

    async def act(self, found: Json) -> Outcome:
        """Order once, by the object's uid; then tell how the job stands."""
        status = found.get("status") or {}
        job_id = str(status.get("jobID") or "")
        if job_id and status.get("phase") in _OVER:
            return _told(status)
        token = await self._token(found)
        if not job_id:
            return self._outcome(await self._order(found, token))
        try:
            return self._outcome(await self._gateway.job(job_id, token=token))
        except GatewayRefused as error:
            if error.code != 404:
                raise
            raise Misconfigured(f"the gateway does not know job {job_id}", "JobMissing") from error

    async def undo(self, found: Json) -> None:
        """Cancel the order, also one that was made though its job was never told in the status."""
        status = found.get("status") or {}
        if status.get("phase") in _OVER:
            return
        token = await self._token(found)
        job_id = str(status.get("jobID") or "")
        if not job_id:
            ready = [each for each in status.get("conditions") or () if each["type"] == "Ready"]
            if ready and ready[0]["reason"] in ("Misconfigured", "Refused", "SecretMissing"):
                return  # nothing was ordered
            job_id = str((await self._order(found, token))["jobID"])
        await self._gateway.cancel(job_id, token=token)

    async def gone(self, key: str) -> None:
        """Nothing is left to do: the order was cancelled before, or is to go on."""

    async def _order(self, found: Json, token: str) -> Json:
        key = f"harvestrequest-{found['metadata']['uid']}"
        return await self._gateway.harvest(order_inputs(found["spec"]), key=key, token=token)

    async def _token(self, found: Json) -> str:
        reference = found["spec"]["tokenSecretRef"]
        return await read_secret(self._api, namespace_of(found), reference["name"], reference.get("key", "token"))

    def _outcome(self, job: Json) -> Outcome:
        harvest = job.get("harvest") or {}
        fields = {
            "jobID": job["jobID"],
            "phase": job["status"],
            "message": str(job.get("message") or "")[:1_000],
            "progress": int(job.get("progress") or 0),
            **{ours: int(harvest[theirs]) for theirs, ours in _FIGURES.items() if theirs in harvest},
        }
        told = _told(fields)
        over = job["status"] in _OVER
        return Outcome(conditions=told.conditions, fields=told.fields, again=None if over else self._again)


def _told(fields: Json) -> Outcome:
    truth, reason = _READY.get(str(fields["phase"]), ("Unknown", "Unknown"))
    ready = Condition(
        type="Ready",
        status="True" if truth == "True" else "False" if truth == "False" else "Unknown",
        reason=reason,
        message=str(fields.get("message") or ""),
    )
    kept = {name: value for name, value in fields.items() if name not in ("conditions", "observedGeneration")}
    return Outcome(conditions=(ready,), fields=kept)


async def read_secret(api: KubernetesApi, namespace: str, name: str, key: str) -> str:
    """Return a key of a Secret.

    Raises:
        Misconfigured: it is not there, we may not read it, or it is no text.
    """
    try:
        found = await api.get(SECRETS.path(namespace, name))
    except (NotThere, Forbidden) as error:
        raise Misconfigured(f"Secret {namespace}/{name} cannot be read: {error}", "SecretMissing") from error
    try:
        value = base64.b64decode((found.get("data") or {})[key], validate=True).decode()
    except (KeyError, binascii.Error, UnicodeDecodeError) as error:
        raise Misconfigured(f"Secret {namespace}/{name} has no text under {key!r}", "SecretMissing") from error
    if not value.strip():
        raise Misconfigured(f"Secret {namespace}/{name} is empty under {key!r}", "SecretMissing")
    return value.strip()
