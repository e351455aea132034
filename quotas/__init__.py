"""Group quotas: policies, pure rules and the ledger.

A leaf: it imports no sibling package and knows no HTTP. Whoever spends, asks here first.
"""
