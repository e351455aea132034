"""The OGC API Processes face (1.0): harvests as jobs.

``descriptions`` and ``inputs`` and ``documents`` are pure; ``face`` is the shell. Knows harvests, no other face.
"""
