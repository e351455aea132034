"""Object stores: adapters of :class:`edges.seams.ObjectStore`, one bucket each.

Belongs here: the S3 wire, its errors, and the in-memory store that says what the seam means.
Must not be here: who may write where, what is copied, and why (harvest).
"""
