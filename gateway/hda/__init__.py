"""The face of the Destination Earth Data Lake: Harmonised Data Access (HDA), as its notebooks and EODAG speak it.

Here belongs how that client asks and what it expects to read. What is searched, and by whom, is decided elsewhere
(``gateway.search``); orders live in ``gateway.orders``, downloads in ``gateway.data``.
"""
