"""Adapters of :class:`edges.seams.Catalogue`: one file each."""
