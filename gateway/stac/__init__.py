"""The STAC API face: requests become queries, pages become documents. Decides nothing about sites."""
