"""Geohash cells (base 32, longitude first): the cell of a position, and the cells that a shape touches."""

import shapely
from shapely.geometry.base import BaseGeometry

MAX_PRECISION = 12
"""Characters of the finest cell."""
MAX_CELLS = 1_024
"""Most cells looked at for one shape; a larger shape is counted in none."""

_ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"


def geohash(longitude: float, latitude: float, precision: int) -> str:
    """Return the cell that holds a position.

    >>> geohash(-5.6, 42.6, 5)
    'ezs42'
    """
    column, row = _place(longitude, latitude, precision)
    return _name(column, row, precision)


def _bits(precision: int) -> tuple[int, int]:
    """Return the bits of longitude and of latitude."""
    return (5 * precision + 1) // 2, 5 * precision // 2


def _place(longitude: float, latitude: float, precision: int) -> tuple[int, int]:
    across, up = _bits(precision)
    column = min(max(int((longitude + 180.0) / 360.0 * (1 << across)), 0), (1 << across) - 1)
    row = min(max(int((latitude + 90.0) / 180.0 * (1 << up)), 0), (1 << up) - 1)
    return column, row


def _name(column: int, row: int, precision: int) -> str:
    across, up = _bits(precision)
    number = 0
    for bit in range(5 * precision):
        of_column = bit % 2 == 0
        if of_column:
            across -= 1
        else:
            up -= 1
        number = number << 1 | (column >> across if of_column else row >> up) & 1
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(precision)))


def cells(shape: BaseGeometry, precision: int) -> list[str] | None:
    """Return the cells that a shape (planar, longitude and latitude) touches; None where they are too many."""
    if shape.is_empty:
        return []
    west, south, east, north = shape.bounds
    (left, bottom), (right, top) = _place(west, south, precision), _place(east, north, precision)
    if (right - left + 1) * (top - bottom + 1) > MAX_CELLS:
        return None
    places = [(column, row) for column in range(left, right + 1) for row in range(bottom, top + 1)]
    if len(places) > 1:
        across, up = _bits(precision)
        width, height = 360.0 / (1 << across), 180.0 / (1 << up)
        boxes = [
            (column * width - 180.0, row * height - 90.0, (column + 1) * width - 180.0, (row + 1) * height - 90.0)
            for column, row in places
        ]
        shapely.prepare(shape)
        touched = shapely.intersects(shape, shapely.box(*zip(*boxes, strict=True)))
        places = [place for place, touches in zip(places, touched, strict=True) if touches]
    return [_name(column, row, precision) for column, row in places]
