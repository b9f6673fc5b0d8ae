"""Linked data sets that are made up: for trying, for tests, for benchmarks."""
