"""A ledger on each store that offers everything; a file of tests that other stores pass says so by its ``store``."""

import pytest
from ledger_stores import FULL_STORES, Clock, ledger_on


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=FULL_STORES)
def store(request):
    return request.param


@pytest.fixture
def opened(request, store, tmp_path, clock):
    """Open a ledger with policies; the same one again within one test."""

    def opening(*policies):
        return ledger_on(store, policies, clock=clock, tmp_path=tmp_path, request=request)

    return opening
