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


def write_tests(folder, crashes):
    for number, count in enumerate([4] * 20 + [1] * 4):  # those with the most tests are run first
        (folder / f"test_file{number}.py").write_text(passing(count))
    for number in range(crashes):
        (folder / f"test_crash{number}.py").write_text(ENDS_ITS_PROCESS)


def run(folder, *options):
    """Run the tests of a folder in two processes."""
    command = [sys.executable, "-m", "pytest", "-n2", "--dist=loadfile", "-p", "file_scheduling", "-c", os.devnull]
    command += [f"--rootdir={folder}", *options, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("crashes", [1, 5])
def test_a_test_that_ends_its_process_fails_alone_and_the_run_comes_to_its_end(tmp_path, crashes):
    write_tests(tmp_path, crashes)
    ended = run(tmp_path)
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout + ended.stderr
    assert f"{crashes} failed, {84 + 2 * crashes} passed" in ended.stdout


@pytest.mark.parametrize(
    ("restarts", "again"), [(0, pytest.ExitCode.NO_TESTS_COLLECTED), (1, pytest.ExitCode.TESTS_FAILED)]
)
def test_what_failed_is_tried_again_only_where_no_test_was_left_out(tmp_path, restarts, again):
    write_tests(tmp_path, crashes=1)
    assert run(tmp_path, f"--max-worker-restart={restarts}").returncode == pytest.ExitCode.TESTS_FAILED
    ended = run(tmp_path, "--last-failed", "--last-failed-no-failures=none")
    assert ended.returncode == again, ended.stdout + ended.stderr
