"""What the Dask face refuses by itself."""

from typing import ClassVar


class DaskFaceError(Exception):
    """Root of the errors of this face."""

    status: ClassVar[int] = 422
    title: ClassVar[str] = "Refused"


class NoPlacement(DaskFaceError):
    """No edge will do; the message says why."""

    title = "No edge can take this"


class UnknownCluster(DaskFaceError):
    """There is no such cluster, or it is another user's, which reads the same."""

    status = 404
    title = "Cluster not found"

    def __init__(self, name: str) -> None:
        super().__init__(f"Cluster {name[:100]} not found")


class UnknownEdge(DaskFaceError):
    """There is no edge of that name with a Dask Gateway."""

    status = 404
    title = "Edge not found"

    def __init__(self, edge: str) -> None:
        super().__init__(f"Edge {edge[:64]} not found, or it has no Dask Gateway")
