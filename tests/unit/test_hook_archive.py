"""Archives that are sent as they are made: read by zipfile, whatever their size."""

import io
import zipfile
import zlib

from gateway.hook import archive
from gateway.hook.archive import File, Sent


def written(bodies):
    files = archive.files_named([(f"~tmp/o/c/item/{name}/{name}.tif", len(body)) for name, body in bodies.items()])
    out, sent = io.BytesIO(), []
    for file, body in zip(files, bodies.values(), strict=True):
        offset = out.tell()
        out.write(archive.header(file) + body + archive.descriptor(file, zlib.crc32(body)))
        sent.append(Sent(file=file, offset=offset, crc=zlib.crc32(body)))
    out.write(archive.ending(sent, out.tell()))
    return files, out.getvalue()


def test_an_archive_is_as_long_as_was_said_and_reads_well():
    bodies = {"a": b"", "ü": b"x" * 1000, "c": bytes(range(256))}
    files, whole = written(bodies)
    assert len(whole) == archive.length(files)
    with zipfile.ZipFile(io.BytesIO(whole)) as read:
        assert read.testzip() is None
        assert [read.read(f"item/{name}.tif") for name in bodies] == list(bodies.values())


def test_more_files_than_a_plain_archive_holds():
    files, whole = written({str(number): b"" for number in range(0xFFFF + 3)})
    assert len(whole) == archive.length(files)
    with zipfile.ZipFile(io.BytesIO(whole)) as read:
        assert len(read.namelist()) == len(files)


def test_a_file_of_more_than_4_gib_and_one_behind_it(tmp_path):
    files = (File(name="large", key="k", size=5 << 30), File(name="small", key="k", size=5))
    with (tmp_path / "sparse.zip").open("wb") as out:  # holes where the bytes would be
        sent = []
        for file in files:
            sent.append(Sent(file=file, offset=out.tell(), crc=zlib.crc32(b"\0" * 5)))
            out.write(archive.header(file))
            out.seek(file.size, io.SEEK_CUR)
            out.write(archive.descriptor(file, sent[-1].crc))
        out.write(archive.ending(sent, out.tell()))
        assert out.tell() == archive.length(files)
    with zipfile.ZipFile(tmp_path / "sparse.zip") as read:
        assert [each.file_size for each in read.infolist()] == [5 << 30, 5]
        assert read.read("small") == b"\0" * 5
