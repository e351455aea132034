"""What users' clients talk to: the faces, the federated search, placement, and the command line.

Only ``gateway.app`` and its rooms in ``gateway.house`` construct; every other module receives what it needs.
Faces never import each other.
"""
