"""Ceph's RADOS Gateway for the tests: one monitor, one object daemon in memory, one gateway; with its token service."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from free_ports import free_port
from s3_bucket import ACCESS, SECRET
from waiting import wait_for_port

CEPH_CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms bind ipv6 = false
run dir = {folder}/run
admin socket = {folder}/run/$cluster-$name.asok
log file = {folder}/log/$name.log
pid file = {folder}/run/$name.pid
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 2000
osd crush chooseleaf type = 0
[mon.a]
mon data = {folder}/mon.a
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd data = {folder}/osd.0
osd objectstore = memstore
memstore device bytes = 2147483648
osd class default list = *
osd class load list = *
[client]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw gc obj min wait = 1
rgw gc processor period = 2
rgw crypt require ssl = false
rgw s3 auth use sts = true
rgw sts key = abcdefghijklmnop
ms mon client mode = crc
"""


@dataclass(frozen=True)
class Ceph:
    """A running store: where its S3 is, and how it is administered."""

    endpoint: str
    config: Path

    def admin(self, *command: str) -> None:
        run("radosgw-admin", "-c", str(self.config), *command)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def _skip_where_missing() -> None:
    if shutil.which("radosgw") is None:
        if "radosgw" in os.environ.get("LAKEGATE_REQUIRE", ""):
            pytest.fail("radosgw is required here and not installed")
        pytest.skip("radosgw is not installed")
    if os.geteuid() != 0:
        pytest.skip("the Ceph daemons here want root")


@contextmanager
def ceph(folder: Path) -> Iterator[Ceph]:
    """One monitor, one object daemon in memory, one gateway; loopback only, no authentication inside.

    Skips where they cannot run, but where they are required.
    """
    _skip_where_missing()
    for name in ("mon.a", "osd.0", "rgw", "run", "log"):
        (folder / name).mkdir()
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    mon1, mon2, port = free_port(), free_port(), free_port()
    config = folder / "ceph.conf"
    config.write_text(CEPH_CONFIG.format(fsid=fsid, folder=folder, mon1=mon1, mon2=mon2, port=port))
    conf = ["-c", str(config)]
    monmap = str(folder / "monmap")
    addresses = f"[v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]"

    daemons: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (folder / "log" / "daemons.out").open("ab") as out:
            daemons.append(subprocess.Popen([*command, "-f"], stdout=out, stderr=out))

    try:
        run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, "--clobber", monmap)
        run("ceph-mon", *conf, "--mkfs", "-i", "a", "--monmap", monmap)
        start("ceph-mon", *conf, "-i", "a")
        wait_for_port(mon2, daemons[-1])
        run("ceph", *conf, "osd", "new", osd, "0")
        run("ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
        start("ceph-osd", *conf, "-i", "0")
        start("radosgw", *conf, "-n", "client.rgw.a")
        wait_for_port(port, daemons[-1], seconds=60)
        user = ["user", "create", "--uid=harvester", "--display-name=harvester"]
        server = Ceph(endpoint=f"http://127.0.0.1:{port}", config=config)
        server.admin(*user, f"--access-key={ACCESS}", f"--secret-key={SECRET}")
        yield server
    finally:
        for daemon in reversed(daemons):
            daemon.kill()
            daemon.wait(10)
