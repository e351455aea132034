"""Programs and work for the benchmark of harvests."""
