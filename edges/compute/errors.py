"""What an edge's compute refuses, in its own words."""

from edges.errors import EdgeError


class ComputeRefused(EdgeError):
    """The edge understood the request and refused it (bad option, over its own limit)."""

    status = 422
    title = "The edge refused"


class NotRunning(EdgeError):
    """The cluster is not running, or its scheduler cannot be reached."""

    status = 409
    title = "The cluster is not running"
