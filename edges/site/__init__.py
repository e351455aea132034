"""What runs *at* an edge: its items served as a STAC API, and the authenticators of its Dask and Jupyter gateways.

Belongs here: programs and plug-ins that an edge's operator starts beside the data.
Must not be here: anything that knows the gateway, another site, users' quotas or harvests.
"""
