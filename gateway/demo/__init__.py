"""The main job on one machine: real servers as processes on loopback, and a tour by unmodified clients.

``world`` says what there is (pure), ``scenes`` makes the data, ``processes`` starts, watches and ends programs,
``run`` leads, ``tour`` is the user: it talks to the gateway only as a user would, in a process of its own.
"""
