"""What a catalogue is loaded from: files and folders of STAC items, read as a stream of entries. Blocking.

Understood are ``.json``/``.geojson`` (an Item, an ItemCollection, a Collection, a list of collections; a
Catalog is passed over, for its folder is walked), ``.ndjson``/``.jsonl`` (one Item or Collection a line),
each also with ``.gz``, and ``.parquet`` (stac-geoparquet).
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from edges.catalogues.sources_parquet import ParquetUnreadable, parquet_items
from edges.model import Json, Members

MAX_LINE = 64 << 20
"""Longest line, in bytes: an item is some kilobytes, a file without line ends is none of ours."""
MAX_DOCUMENT = 1 << 30
"""Largest JSON document that is read whole, in bytes."""

_LINES = (".ndjson", ".jsonl", ".geojsonl", ".ndgeojson")
_DOCUMENTS = (".json", ".geojson")
_MEMBERS = msgspec.json.Decoder(Members)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


class UnreadableInput(Exception):
    """A path or an entry cannot be loaded; the message names it, and the line where there is one."""

    status = 400
    title = "Input cannot be loaded"


class Entry(NamedTuple):
    """One thing that a file holds: an item (its bytes), a collection, or what is ``wrong`` with it."""

    where: str
    item: bytes | None = None
    collection: Json | None = None
    wrong: str = ""


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files below the paths, each once, sorted by name within a folder.

    Raises:
        UnreadableInput: a path does not exist, or a named file is of an unknown kind.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(one for one in sorted(path.rglob("*")) if one.is_file() and _kind(one) is not None)
        elif not path.is_file():
            raise UnreadableInput(f"{path}: there is no such file or folder")
        elif _kind(path) is None:
            kinds = ", ".join((*_DOCUMENTS, *_LINES, ".parquet"))
            raise UnreadableInput(f"{path}: not a kind of file that can be loaded ({kinds}, or with .gz)")
        else:
            found[path] = None
    return list(found)


def _kind(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(_LINES):
        return "lines"
    if name.endswith(_DOCUMENTS):
        return "document"
    return "parquet" if path.name.lower().endswith((".parquet", ".geoparquet")) else None


def collection_of(path: Path) -> str:
    """Return the collection of items that name none: the file's own name."""
    name = path.name
    for suffix in (".gz", *_LINES, *_DOCUMENTS, ".parquet", ".geoparquet"):
        name = name.removesuffix(suffix)
    return name or path.name


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield what a file holds, in its order; an entry that cannot be read comes as such.

    Raises:
        UnreadableInput: the file itself cannot be read.
    """
    kind = _kind(path)
    try:
        if kind == "parquet":
            for number, item in enumerate(parquet_items(path), start=1):
                yield Entry(f"{path}:{number}", item=item)
            return
        with _opened(path) as stream:
            yield from _lines(path, stream) if kind == "lines" else _document(path, stream)
    except (OSError, EOFError, zlib.error, ParquetUnreadable) as error:
        raise UnreadableInput(f"{path}: {error}") from error


def _opened(path: Path) -> IO[bytes]:
    # Both are binary streams, though only one says so.
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _lines(path: Path, stream: IO[bytes]) -> Iterator[Entry]:
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > MAX_LINE:
            raise UnreadableInput(f"{where}: a line of more than {MAX_LINE} bytes")
        text = line.strip()
        if text:
            yield from _classified(where, text)


def _document(path: Path, stream: IO[bytes]) -> Iterator[Entry]:
    text = stream.read(MAX_DOCUMENT + 1)
    if len(text) > MAX_DOCUMENT:
        raise UnreadableInput(f"{path}: more than {MAX_DOCUMENT} bytes; give such a file as .ndjson")
    yield from _classified(str(path), text.strip())


def _classified(where: str, text: bytes) -> Iterator[Entry]:
    """Tell items, collections and lists of them apart."""
    try:
        members = _MEMBERS.decode(text)
        kind = _decoded(members.get("type"))
        if kind == "FeatureCollection":
            for place, raw in enumerate(_RAWS.decode(members.get("features", b"[]")), start=1):
                yield Entry(f"{where}#{place}", item=bytes(raw))
        elif kind == "Feature" or (kind is None and "properties" in members):
            yield Entry(where, item=text)
        elif kind == "Collection" or (kind is None and "extent" in members):
            yield Entry(where, collection=msgspec.json.decode(text))
        elif "collections" in members:
            for place, raw in enumerate(_RAWS.decode(members["collections"]), start=1):
                yield Entry(f"{where}#{place}", collection=msgspec.json.decode(raw))
        elif kind != "Catalog":
            yield Entry(where, wrong=f"type {kind!r} is neither an Item, an ItemCollection nor a Collection")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        yield Entry(where, wrong=f"not a JSON object ({error})")


def _decoded(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)
