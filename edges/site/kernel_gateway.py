"""How an edge's Jupyter Kernel Gateway is started so that the gateway can use it.

Only the variables named here reach a kernel, beside ``KERNEL_*`` which always do.
"""

import sys
from collections.abc import Sequence

DASK_VARIABLES = (
    "DASK_GATEWAY__ADDRESS",
    "DASK_GATEWAY__PUBLIC_ADDRESS",
    "DASK_GATEWAY__PROXY_ADDRESS",
    "DASK_GATEWAY__AUTH__TYPE",
    "DASK_GATEWAY__AUTH__KWARGS__USERNAME",
    "DASK_GATEWAY__AUTH__KWARGS__PASSWORD",
    "DASK_GATEWAY__CLUSTER__OPTIONS__EDGE",
)
"""What the gateway tells a kernel, so that ``dask_gateway.Gateway()`` works from a cell without arguments."""

MAX_MESSAGE_BYTES = 64 << 20
"""Longest message to a kernel: a notebook's cell with a large literal, a widget's upload."""

INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH", "AWS_S3_ENDPOINT", "AWS_REGION")
"""What kernels take from the edge's own environment; no secret of the edge is among them."""


def kernel_gateway_command(
    *, host: str, port: int, cull_idle_seconds: int = 3600, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> list[str]:
    """Return the command line of a kernel gateway; its token comes by :func:`kernel_gateway_environment`.

    ``max_message_bytes`` should be what the gateway passes on (``compute.max_kernel_message``).
    """
    return [
        sys.executable,
        "-m",
        "edges.site.kernel_gateway_app",
        f"--KernelGatewayApp.ip={host}",
        f"--KernelGatewayApp.port={port}",
        "--KernelGatewayApp.port_retries=0",
        f"--RoomyKernelGateway.max_message_bytes={max_message_bytes}",
        f"--MappingKernelManager.cull_idle_timeout={cull_idle_seconds}",
        f"--MappingKernelManager.cull_interval={max(1, min(300, cull_idle_seconds // 4))}",
    ]


def kernel_gateway_environment(*, token: str, inherited: Sequence[str] = INHERITED) -> dict[str, str]:
    """Return the variables for that process: the token is never on a command line, where others could read it.

    Raises:
        ValueError: the token is empty, which would leave the edge open.
    """
    if not token:
        raise ValueError("the kernel gateway needs a token")
    return {
        "KG_AUTH_TOKEN": token,
        "KG_LIST_KERNELS": "True",
        "KG_ENV_WHITELIST": ",".join(DASK_VARIABLES),
        "KG_ENV_PROCESS_WHITELIST": ",".join(inherited),
    }
