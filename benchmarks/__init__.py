"""Benchmarks: ours beside a peer and a floor, in the same run. Ratios count; absolute times are noisy."""
