"""PURE: the variables that a kernel starts with."""

from collections.abc import Mapping

from edges.errors import InvalidInput
from edges.model import Frozen

MAX_VARIABLES = 64
MAX_VALUE_CHARACTERS = 4096
COLLECTIONS = "KERNEL_COLLECTIONS"
"""A user's wish for an automatic kernel: run at an edge that holds these collections (comma separated)."""

_OURS = frozenset({"KERNEL_USERNAME", "KERNEL_ID", "KERNEL_WORKING_DIR"})
"""Never as the client sent them: the name would let it act as another user, the folder is one of its own machine."""


class KernelLogin(Frozen):
    """How a kernel's own Dask client reaches the gateway as its user.

    ``proxy`` (``host:port``) is the edge's own router of comms: what runs at the kernel's edge stays there.
    """

    url: str
    token: str | None = None
    proxy: str = ""


def kernel_environment(
    asked: Mapping[str, str], *, kernel_id: str, user: str, edge: str, login: KernelLogin
) -> dict[str, str]:
    """Return what is sent to the edge: the client's ``KERNEL_*`` variables, and ours.

    The kernel's Dask clusters are asked for at its own edge unless a cell says otherwise: the data is there.
    """
    kept = {name: value for name, value in asked.items() if name.startswith("KERNEL_") and name not in _OURS}
    ours = {
        "KERNEL_ID": kernel_id,
        "KERNEL_USERNAME": user,
        "DASK_GATEWAY__ADDRESS": login.url,
        "DASK_GATEWAY__PUBLIC_ADDRESS": login.url,
        "DASK_GATEWAY__CLUSTER__OPTIONS__EDGE": edge,
    }
    if login.proxy:
        ours["DASK_GATEWAY__PROXY_ADDRESS"] = login.proxy
    if login.token is not None:
        ours["DASK_GATEWAY__AUTH__TYPE"] = "basic"
        ours["DASK_GATEWAY__AUTH__KWARGS__USERNAME"] = user
        ours["DASK_GATEWAY__AUTH__KWARGS__PASSWORD"] = login.token
    return kept | ours


def read_environment(value: object) -> dict[str, str]:
    """Read the ``env`` member of a request.

    Raises:
        InvalidInput: it is no object of texts, or too large.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidInput("env", f"a {type(value).__name__}", "an object of texts")
    if len(value) > MAX_VARIABLES or any(len(item) > MAX_VALUE_CHARACTERS for item in value.values()):
        raise InvalidInput("env", "too large", f"{MAX_VARIABLES} variables of {MAX_VALUE_CHARACTERS} characters")
    if any("\0" in item or not name.isidentifier() for name, item in value.items()):
        raise InvalidInput("env", "a name or value that no environment can hold", "identifiers, and texts without NUL")
    return {str(name): item for name, item in value.items()}


def wished_collections(asked: Mapping[str, str]) -> tuple[str, ...]:
    """Return the collections that an automatic kernel shall be near to."""
    return tuple(name.strip() for name in asked.get(COLLECTIONS, "").split(",") if name.strip())
