"""An edge's Jupyter Kernel Gateway that takes large messages: tornado's own limit of 10 MiB cannot be configured.

Run as a module, with the options of ``jupyter kernelgateway`` (see :mod:`edges.site.kernel_gateway`).
"""

from kernel_gateway.gatewayapp import KernelGatewayApp  # type: ignore[import-untyped]  # the package has no types
from traitlets import Integer


class RoomyKernelGateway(KernelGatewayApp):  # type: ignore[misc]  # as above
    """The same application, with a limit of our own."""

    max_message_bytes = Integer(64 << 20, min=1, config=True, help="Longest websocket message to a kernel, in bytes.")

    def init_webapp(self) -> None:
        """Make the web application, and set its limit."""
        super().init_webapp()
        self.web_app.settings["websocket_max_message_size"] = self.max_message_bytes


if __name__ == "__main__":
    RoomyKernelGateway.launch_instance()
