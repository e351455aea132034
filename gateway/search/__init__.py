"""The federated search: parse -> plan -> fan out -> merge -> render.

Pure but for ``stream`` and ``federation``, which ask the sites. Knows no HTTP request: that stops at the face.
"""
