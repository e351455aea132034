"""Processes beside this one that carry small objects: one interpreter keeps the books, others move the bytes.

What a process beside does with a claim is what this one would do; each act it tells by a socket that nobody else has,
and this process alone writes it down. Nothing of the database, the ledger or the catalogues is known there.
"""
