"""Linked data sets that are made up: for trying, for tests, for benchmarks."""

from dcmdask.synthetic.data_set import Synthesis, write_synthetic
from dcmdask.synthetic.modalities import MODALITIES

__all__ = ["MODALITIES", "Synthesis", "write_synthetic"]
