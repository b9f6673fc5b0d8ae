"""Archives: what is in them, and the first bytes of each member."""
