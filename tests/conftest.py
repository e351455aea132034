"""Fixtures of servers that tests of several rooms use, and what every run of the tests begins with."""

import faulthandler
import os
import signal
from collections.abc import Generator

import file_scheduling
import pytest
from postgresql_server import postgresql

__all__ = ["postgresql"]

LINES_OF_A_FAILURE = 30
"""So many last lines of what a test failed with are said at once; the summary has them all."""

TEARDOWN_SECONDS = 300.0
"""Tests have time-outs of their own, which no longer count once they have failed. Where the end of one stands still
after it, its process ends: another takes the rest of the tests."""

STDERR = pytest.StashKey[int]()
"""The standard error of the process: that of a test is kept for its report, and lost where the process ends."""


class FailuresAtOnce:
    """Says what failed when it fails: a run that is ended from outside never comes to its summary."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_line(f"\nfailed in {report.when}: {report.nodeid}", red=True)
            for line in report.longreprtext.splitlines()[-LINES_OF_A_FAILURE:]:
                self._terminal.write_line(line)


@pytest.hookimpl(trylast=True)  # once there is a terminal
def pytest_configure(config: pytest.Config) -> None:
    """Take interrupts as a terminal's processes do, whoever started the tests.

    A shell that starts them in the background has them ignore SIGINT, and so would every process that they start:
    those that a test ends by SIGINT would go on.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[STDERR] = os.dup(2)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:  # there is none in the processes that share the work
        config.pluginmanager.register(FailuresAtOnce(terminal))
        config.pluginmanager.register(file_scheduling)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Bound the end of a test, which may wait for a thread that never ends."""
    faulthandler.dump_traceback_later(TEARDOWN_SECONDS, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
