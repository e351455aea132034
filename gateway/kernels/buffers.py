"""PURE: legacy websocket messages with binary buffers, for clients that cannot read them.

Jupyter servers in gateway mode decode every frame as UTF-8 text, and their read loop dies of the first binary one
(jupyter-widgets/ipywidgets#3798). They get the JSON part alone: the widget's bytes are lost, the kernel is not.
"""

import struct

MAX_BUFFERS = 10_000


def without_buffers(frame: str | bytes) -> str | bytes:
    """Return the JSON part of a binary legacy frame as text; anything else unchanged.

    The layout: a big-endian 32-bit count of parts, as many 32-bit offsets, the parts; the first is the JSON message.
    """
    if isinstance(frame, str) or len(frame) < 8:
        return frame
    (count,) = struct.unpack_from("!I", frame)
    if not 0 < count <= MAX_BUFFERS or len(frame) < 4 * (count + 1):
        return frame
    offsets = struct.unpack_from(f"!{count}I", frame, 4)
    end = offsets[1] if count > 1 else len(frame)
    if not 4 * (count + 1) <= offsets[0] <= end <= len(frame):
        return frame
    try:
        return frame[offsets[0] : end].decode("utf-8")
    except UnicodeDecodeError:
        return frame


def needs_text(*, user_agent: str, subprotocols: str) -> bool:
    """Tell whether a client is a Jupyter server in gateway mode: Tornado, on the protocol without a name."""
    return not subprotocols and user_agent.startswith("Tornado")
