"""What can go wrong between the operator, the Kubernetes API and the gateway."""


class OperatorError(Exception):
    """Base of the operator's errors. Unless said otherwise, the same may succeed later."""


class KubernetesError(OperatorError):
    """The API server did not answer, or refused; ``code`` is its HTTP status, 0 where there was no answer."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class NotThere(KubernetesError):
    """There is no such object."""


class Conflicted(KubernetesError):
    """The object changed since it was read, or is there already."""


class Expired(KubernetesError):
    """The version to go on from is no longer known (410): everything has to be listed again."""


class Forbidden(KubernetesError):
    """The service account may not do this."""


class NoLongerLeading(OperatorError):
    """Another operator may be leading by now: nothing more is written."""


class GatewayUnavailable(OperatorError):
    """The gateway did not answer, or is not well."""


class GatewayRefused(OperatorError):
    """The gateway understood and refused; ``code`` is its HTTP status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Misconfigured(OperatorError):
    """The object cannot be acted on as it is; trying the same again does not help. ``reason`` is CamelCase."""

    def __init__(self, message: str, reason: str = "Misconfigured") -> None:
        super().__init__(message)
        self.reason = reason
