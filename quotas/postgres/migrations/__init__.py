"""The schema of the ledger in PostgreSQL, step by step."""
