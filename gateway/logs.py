"""Structured logs: a constant message plus fields, as text for a person or as JSON lines for a machine."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _FieldsFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Append the extra fields to the message."""
        fields = " ".join(f"{key}={value!r}" for key, value in record.__dict__.items() if key not in _STANDARD)
        line = super().format(record)
        return f"{line} {fields}" if fields else line


def set_up_logs(level: str, *, as_json: bool) -> None:
    """Send all logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if as_json:
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    else:
        handler.setFormatter(_FieldsFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
