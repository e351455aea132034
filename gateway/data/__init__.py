"""Data: downloads through the gateway, and direct access to where the data is.

Belongs here: addresses of downloads, which source a site's bytes come from, what HTTP says about ranges and
validators, charging by bytes sent, signed URLs and short-lived credentials.
Must not be here: how bytes are read from a site (``edges.downloads``), orders, what a user may see.
"""
