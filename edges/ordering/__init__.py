"""Data that a site stages on order: one seam, an adapter for each way of ordering. No adapter knows another."""
