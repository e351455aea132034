"""What a Dask worker is asked to run: a process beside it that carries, so that neither is in the other's way.

Imported at the edge: the clusters' image has Lakegate. It is asked again and again; what runs already goes on.
"""

import os
import subprocess
import sys

MAX_STARTS = 20
"""How often one Dask worker starts a process for one run: each that failed is followed by another."""

_processes: dict[str, "subprocess.Popen[bytes]"] = {}
_starts: dict[str, int] = {}


def carry(url: str, run: str, token: str) -> str:
    """See to it that a process carries for a run; tell how it is."""
    process = _processes.get(run)
    if process is not None and process.poll() is None:
        return "working"
    if process is not None and process.returncode == 0:
        return "done"
    if _starts.get(run, 0) >= MAX_STARTS:
        return "failed"
    told = {"LAKEGATE_RUN_URL": url, "LAKEGATE_RUN": run, "LAKEGATE_RUN_TOKEN": token}
    # Its standard input is closed by our end, however we end, and so it ends with us.
    _processes[run] = subprocess.Popen(
        [sys.executable, "-m", "gateway", "harvest-worker", "--tied"], stdin=subprocess.PIPE, env={**os.environ, **told}
    )
    _starts[run] = _starts.get(run, 0) + 1
    return "working"
