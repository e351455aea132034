"""What the Jupyter face refuses by itself."""

from typing import ClassVar


class KernelFaceError(Exception):
    """Root of the errors of this face."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Refused"


class UnknownKernel(KernelFaceError):
    """There is no such kernel, or it is another user's, which reads the same."""

    status = 404
    title = "Kernel not found"

    def __init__(self, kernel_id: str) -> None:
        super().__init__(f"Kernel does not exist: {kernel_id[:100]}")


class UnknownSpec(KernelFaceError):
    """No edge offers this kernelspec."""

    status = 404
    title = "Kernelspec not found"


class NoEdge(KernelFaceError):
    """No edge can take the kernel now; the message says why."""

    status = 503
    title = "No edge can take this"
