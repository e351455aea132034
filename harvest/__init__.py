"""Harvest: rules and orders become bytes in a bucket, and replicas in a catalogue.

Belongs here: orders and their states (pure), the transfer, verification and registration of objects.
Must not be here: HTTP faces and users' credentials (gateway). Imports ``edges`` and ``quotas`` only.
"""
