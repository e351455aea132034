"""Orders: data that a site has to stage before it can be had. One order at the provider for all who ask for the same.

Here belongs what an order is, how it moves on, and who is told; how a provider is asked is in ``edges.ordering``, how
clients speak of orders in the faces.
"""
