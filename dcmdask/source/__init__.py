"""Where bytes are: listing and fetching."""
