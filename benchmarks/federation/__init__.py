"""The whole federated search over real sockets: sites, peers and how they are timed."""
