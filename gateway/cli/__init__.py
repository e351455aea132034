"""The ``lakegate`` command: one module per sub-command, each a thin client of the gateway's own HTTP API."""
