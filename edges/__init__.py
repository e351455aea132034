"""Every site as seen from outside: one Protocol, many adapters.

Belongs here: the typed model of sites, queries and items; the seams (Protocols) and their adapters; the words of
the STAC API that both an edge and the gateway speak; what runs *at* an edge.
Must not be here: anything that knows two sites at once, users, quotas or harvests. Imports no sibling package.
"""
