"""For notebooks: one computation over several edges, each part where its data is.

What belongs here: what runs in a user's own process, on nothing but aiohttp, dask_gateway and distributed. What must
not: anything of the gateway's other rooms, which a notebook does not have installed.
"""

from gateway.client.computation import (
    Computation,
    EdgeCost,
    FunctionFailed,
    NothingComputed,
    Outcome,
    Progress,
)
from gateway.client.lake import Lake, LakeRefused
from gateway.client.parts import Parts, localised, split

__all__ = [
    "Computation",
    "EdgeCost",
    "FunctionFailed",
    "Lake",
    "LakeRefused",
    "NothingComputed",
    "Outcome",
    "Parts",
    "Progress",
    "localised",
    "split",
]
