"""The composition root's rooms: each function builds one, from settings to routes. Only ``gateway.app`` calls them."""
