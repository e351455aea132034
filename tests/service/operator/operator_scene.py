"""Names that the operator's tests share."""

from gateway.operator.resources import Resource

NAMESPACES = Resource(kind="Namespace", plural="namespaces", group="", version="v1", namespaced=False)
ADMIN = "token-of-the-operator"
