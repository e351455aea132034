"""A way to an edge that dials out only: the edge holds connections open, and the gateway sends streams through them.

Each connection is a websocket that carries one stream: no multiplexing of our own, and TCP's flow control from end to
end. The edge says which of its services can be reached; the gateway has a loopback port for each, and knows nothing
else of tunnels. What belongs here: both ends. What must not: what the streams carry.
"""
