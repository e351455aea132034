"""Collections of users' own: made, filled, shared and removed over the standard routes.

Belongs here: who owns a collection and whom it is shared with, what may be written into it, what it costs, how it is
loaded at once and from a bucket.
Must not be here: what is seen of it in searches (``gateway.search.sight``), how a catalogue keeps it (``edges``).
"""
