"""PURE: messages that a client cannot take, told in place of being sent.

Jupyter servers in gateway mode are tornado clients: a message of more than 10 MiB ends their connection, they connect
anew, and it ends again. They get what happened in words instead, and the kernel goes on.
"""

from typing import Any

import msgspec

MOST_BYTES = 10 << 20
"""Tornado's ``_default_max_message_size``; Jupyter servers let nobody configure it for their own connections."""


class _Content(msgspec.Struct):
    """The part of a content that outlives it."""

    execution_count: int | None = None


class _Message(msgspec.Struct):
    """The part of a legacy message that an answer needs."""

    header: dict[str, Any]
    content: _Content
    parent_header: dict[str, Any] = {}
    channel: str = "iopub"


_decode = msgspec.json.Decoder(_Message).decode


def told_if_too_large(frame: str | bytes) -> str | bytes:
    """Return a legacy message as it is, or what tells its client that it is too large."""
    size = len(frame) if isinstance(frame, bytes) else _bytes_of(frame)
    if size <= MOST_BYTES or isinstance(frame, bytes):
        return frame
    try:
        message = _decode(frame)
    except msgspec.DecodeError:
        return frame
    what = f"a message of {size / 1e6:.1f} MB was left out: Jupyter servers take {MOST_BYTES / 1e6:.1f} MB at most"
    content: dict[str, Any]
    if message.header.get("msg_type") == "execute_input":  # the echo of a cell: its number is what matters
        header = message.header
        content = {"code": f"# {what}", "execution_count": message.content.execution_count}
    elif message.channel == "iopub":
        header = message.header | {"msg_type": "stream"}
        content = {"name": "stderr", "text": f"{what}\n"}
    else:  # whoever waits for a reply must get one
        header = message.header
        content = {"status": "error", "ename": "MessageTooLarge", "evalue": what, "traceback": [what]}
    told: dict[str, Any] = {
        "header": header,
        "msg_id": header.get("msg_id"),
        "msg_type": header.get("msg_type"),
        "parent_header": message.parent_header,
        "metadata": {},
        "content": content,
        "buffers": [],
        "channel": message.channel,
    }
    return msgspec.json.encode(told).decode()


def _bytes_of(text: str) -> int:
    """Return the length in UTF-8; most texts need not be encoded for it."""
    if text.isascii() or 4 * len(text) <= MOST_BYTES:
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))
