"""How an edge joins: the papers of both sides, and a look at it from outside. Nothing of a running gateway."""
