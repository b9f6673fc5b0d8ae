"""Opens a published catalog, and is asked for its tables."""
