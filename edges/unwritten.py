"""Room for bytes that are about to come, which nobody fills with zeros first.

Source: Python's C API, ``PyByteArray_FromStringAndSize``, which leaves the bytes as they are where it is given none.
"""

import ctypes

_MADE = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)(
    ("PyByteArray_FromStringAndSize", ctypes.pythonapi)
)


def unwritten(size: int) -> bytearray:
    """Return so many bytes, whatever they are: memory of this process. Show nobody any that was not written since."""
    made: bytearray = _MADE(None, size)
    return made
