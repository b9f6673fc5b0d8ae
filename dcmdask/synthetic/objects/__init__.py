"""What each kind of instance holds: a file a kind, and in it tables of values."""
