"""Gives the tests of whole files to several processes; a plugin of pytest-xdist, whose own way (3.8) fails by a crash.

A process that crashed leaves its files to the others. xdist gives them the test that crashed, too, so that it ends one
process after the other; it gives them files that are done, and a single test, and a process begins with its last test
only when it is told that it is the last. All then stand still for good.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling


class FileScheduling(LoadFileScheduling):
    """The scheduler of ``--dist loadfile``, for processes that may crash."""

    def remove_node(self, node: Any) -> str | None:
        """Leave what a process had to do to the others, but for the test that it ran, which has failed: return that."""
        given = self.assigned_work.pop(node)
        left = {file: tests for file, tests in given.items() if not all(tests.values())}
        if not left:
            return None
        running = next(iter(left.values()))
        crashed = next(test for test, done in running.items() if not done)
        running[crashed] = True
        self.workqueue.update((file, tests) for file, tests in left.items() if not all(tests.values()))
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def _reschedule(self, node: Any) -> None:
        """Give a process tests until it has more than two, however few a file has."""
        if node not in self.registered_collections:  # it has just begun, in place of one that crashed
            return
        super()._reschedule(node)
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) <= 2:
            super()._reschedule(node)


_SCHEDULING = pytest.StashKey[FileScheduling]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling | None:
    if config.getvalue("dist") != "loadfile":
        return None
    config.stash[_SCHEDULING] = FileScheduling(config, log)
    return config.stash[_SCHEDULING]


@pytest.hookimpl(trylast=True)  # once they are written down
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Forget what failed in a run that left tests out: to pass it later would tell nothing of the rest."""
    scheduling = session.config.stash.get(_SCHEDULING, None)
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR or (scheduling is not None and scheduling.has_pending):
        session.config.cache.set("cache/lastfailed", {})
