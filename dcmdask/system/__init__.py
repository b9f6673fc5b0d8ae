"""The machine we are on: temporary folders, signals, permissions, locks, what a write that fails is called."""
