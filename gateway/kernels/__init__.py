"""The Jupyter face: the kernels of all edges behind one kernel gateway, for unmodified Jupyter servers.

What belongs here: the REST API of a kernel gateway, kernelspec names per edge, the life of kernels (intent, lease,
record, reconciliation), their websockets. What must not: which edge is best (placement), what may be spent (quotas),
how an edge is spoken to (edges.compute).
"""
