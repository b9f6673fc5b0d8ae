"""Changed headers and archives: a bounded test, and the same without end as a command."""
