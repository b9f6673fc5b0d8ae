"""What to read of each kind of object, as tables: one file a modality."""
