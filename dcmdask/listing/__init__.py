"""Sources to a manifest, cut in partitions."""
