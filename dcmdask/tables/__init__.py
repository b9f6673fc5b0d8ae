"""Pure functions over declared tables."""
