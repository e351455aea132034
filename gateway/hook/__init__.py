"""The HOOK OData face: orders of the workflow ``data-harvest`` as harvests.

Here belongs what its clients see (OData, orders with whole numbers, archives of what was harvested) and the credentials
that orders bring: sealed at rest, used by name, and forgotten when the order ends. No copying: ``harvest`` does that.
"""
