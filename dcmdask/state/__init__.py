"""What a run leaves for the next one: manifest, parts, and an index of known files."""
