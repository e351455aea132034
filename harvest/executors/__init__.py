"""Where objects are carried far from the gateway: one file per executor, behind one seam.

What belongs here: how workers are started, looked at and ended. What they do is the same everywhere
(``harvest.carrier``).
"""
