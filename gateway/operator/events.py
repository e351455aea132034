"""Kubernetes Events (events.k8s.io/v1): one for each turn of a condition, for ``kubectl describe``."""

import logging
import time
import uuid

from edges.model import Json
from gateway.operator.api import MANAGER, KubernetesApi
from gateway.operator.conditions import micro_instant
from gateway.operator.errors import KubernetesError
from gateway.operator.resources import EVENTS, Resource, name_of, namespace_of

_log = logging.getLogger(__name__)


class Recorder:
    """Writes events. One that cannot be written is logged: nothing depends on it."""

    def __init__(self, *, api: KubernetesApi, instance: str) -> None:
        self._api = api
        self._instance = instance

    async def record(self, resource: Resource, found: Json, condition: Json) -> None:
        """Write that a condition of an object turned."""
        namespace = namespace_of(found) or "default"
        bad = condition["reason"] in ("NotUndone", "Misconfigured", "Refused", "Unavailable", "SecretMissing", "Failed")
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": f"{name_of(found)[:200]}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "eventTime": micro_instant(time.time()),
            "reportingController": f"lakegate.io/{MANAGER}",
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "reason": condition["reason"][:128],
            "note": f"{condition['type']} is {condition['status']}: {condition['message']}"[:1000],
            "type": "Warning" if bad else "Normal",
            "regarding": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": name_of(found),
                "uid": found["metadata"]["uid"],
                **({"namespace": namespace_of(found)} if namespace_of(found) else {}),
            },
        }
        try:
            await self._api.create(EVENTS.path(namespace), event)
        except KubernetesError as error:
            _log.info("an event was not written", extra={"reason": str(error)[:300]})
