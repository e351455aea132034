"""Where objects are in the Kubernetes API. Pure."""

from urllib.parse import quote

from edges.model import Frozen, Json

GROUP = "lakegate.io"
VERSION = "v1alpha1"


class Resource(Frozen):
    """One kind of object: its API group (empty for the core), version and plural name."""

    kind: str
    plural: str
    group: str = GROUP
    version: str = VERSION
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return what stands in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of an object, or of all (of a namespace, or of all namespaces)."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        parts = [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join([f"{root}{place}/{self.plural}", *parts])

    def path_of(self, found: Json, subresource: str = "") -> str:
        """Return the path of an object that was read."""
        return self.path(namespace_of(found), name_of(found), subresource)


EDGE_SITES = Resource(kind="EdgeSite", plural="edgesites", namespaced=False)
GROUP_QUOTAS = Resource(kind="GroupQuota", plural="groupquotas", namespaced=False)
HARVEST_REQUESTS = Resource(kind="HarvestRequest", plural="harvestrequests")
SECRETS = Resource(kind="Secret", plural="secrets", group="", version="v1")
DEPLOYMENTS = Resource(kind="Deployment", plural="deployments", group="apps", version="v1")
LEASES = Resource(kind="Lease", plural="leases", group="coordination.k8s.io", version="v1")
EVENTS = Resource(kind="Event", plural="events", group="events.k8s.io", version="v1")


def name_of(found: Json) -> str:
    """Return an object's name."""
    return str(found["metadata"]["name"])


def namespace_of(found: Json) -> str:
    """Return an object's namespace; empty where it has none."""
    return str(found["metadata"].get("namespace", ""))


def key_of(found: Json) -> str:
    """Return what an object is found by: ``namespace/name``, or ``name``."""
    namespace = namespace_of(found)
    return f"{namespace}/{name_of(found)}" if namespace else name_of(found)


def generation_of(found: Json) -> int:
    """Return the generation of an object's spec."""
    return int(found["metadata"].get("generation", 0))
