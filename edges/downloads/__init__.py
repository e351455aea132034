"""Bytes of a site's assets: one open answer at a time, whole or a range, from HTTP, S3 or a provider of EODAG.

Belongs here: ranges, what an answer promises, how each kind of address is asked and signed.
Must not be here: who may have which bytes, what they cost, and what a client is told (gateway).
"""
