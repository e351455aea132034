"""What the Dask face refuses by itself."""

from typing import ClassVar

from quotas.model import Refusal


class DaskFaceError(Exception):
    """Root of the errors of this face."""

    status: ClassVar[int] = 422
    title: ClassVar[str] = "Refused"


class NoPlacement(DaskFaceError):
    """No edge will do; the message says why. ``refusal`` is the quota's, where nothing but that stands in the way."""

    title = "No edge can take this"

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal


class UnknownCluster(DaskFaceError):
    """There is no such cluster, or it is another user's, which reads the same."""

    status = 404
    title = "Cluster not found"

    def __init__(self, name: str) -> None:
        super().__init__(f"Cluster {name[:100]} not found")


class NotStarted(DaskFaceError):
    """A cluster that somebody waits for will never run; the message says why."""

    status = 409
    title = "The cluster did not start"


class UnknownEdge(DaskFaceError):
    """There is no edge of that name with a Dask Gateway."""

    status = 404
    title = "Edge not found"

    def __init__(self, edge: str) -> None:
        super().__init__(f"Edge {edge[:64]} not found, or it has no Dask Gateway")
