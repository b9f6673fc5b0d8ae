"""Parts to everything that is published."""
