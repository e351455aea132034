"""The Dask Gateway face: one Dask Gateway in front of those of all edges, for unmodified clients.

What belongs here: the REST API v1 of dask-gateway-server, its options, the life of clusters (intent, lease, route,
reconciliation), dashboards. What must not: which edge is best (placement), what may be spent (quotas), how an edge is
spoken to (edges.compute).
"""
