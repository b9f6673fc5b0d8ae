"""Containers of object stores: what they list, and how objects are read by ranges."""
