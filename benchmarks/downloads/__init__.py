"""The parts of the benchmark of downloads."""
