"""Runs a crawl: the order of stages, where tasks run, what happens to one partition, and what when it dies."""
