"""The ledger's schema, as numbered scripts that run forward only. A released script is never changed."""
