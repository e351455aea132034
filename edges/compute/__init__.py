"""The compute of an edge as seen from outside: its Dask Gateway and its Jupyter kernel gateway.

What belongs here: one adapter per protocol, and the signed claims that both ends of the Dask path understand.
What must not: who may do what, quotas, placement, anything about our own faces.
"""
