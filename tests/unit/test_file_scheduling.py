import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

ENDS_ITS_PROCESS = """
import os
import signal

def test_before(): pass
def test_crash(): os.kill(os.getpid(), signal.SIGKILL)
def test_after(): pass
"""


def passing(count):
    return "\n".join(f"def test_{number}(): pass" for number in range(count))


@pytest.mark.parametrize("crashes", [1, 5])
def test_a_test_that_ends_its_process_fails_alone_and_the_run_comes_to_its_end(tmp_path, crashes):
    for number, count in enumerate([4] * 20 + [1] * 4):  # those with the most tests are run first
        (tmp_path / f"test_file{number}.py").write_text(passing(count))
    for number in range(crashes):
        (tmp_path / f"test_crash{number}.py").write_text(ENDS_ITS_PROCESS)
    command = [sys.executable, "-m", "pytest", "-n2", "--dist=loadfile", "-p", "file_scheduling", "-c", os.devnull]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command += [f"--rootdir={tmp_path}", str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert f"{crashes} failed, {84 + 2 * crashes} passed" in ended.stdout
