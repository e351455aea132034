"""The face of harvest rules: ``/harvests``, and what people do with orders and audits.

``inputs`` and ``documents`` are pure; ``face`` is the shell. Knows harvests, no other face.
"""
