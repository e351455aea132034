"""Placement: holdings, health and quota headroom become ranked edges, each with its reasons.

``holdings`` and ``rank`` are pure; ``placer`` asks the search and the ledger; ``face`` serves it dry.
"""
