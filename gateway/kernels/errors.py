"""What the Jupyter face refuses by itself."""

from typing import ClassVar

from quotas.model import Refusal


class KernelFaceError(Exception):
    """Root of the errors of this face."""

    status: int = 400
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
    """No edge can take the kernel now; the message says why. ``refusal`` is the quota's, where only that is the cause.

    ``status`` is then that of a refusal: 429, or 422 where waiting does not help.
    """

    status = 503
    title = "No edge can take this"

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal
        if refusal is not None:
            self.status = 422 if refusal.never else 429
