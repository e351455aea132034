"""Fixtures of servers that tests of several rooms use."""

from postgresql_server import postgresql

__all__ = ["postgresql"]
