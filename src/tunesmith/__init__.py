"""Tunesmith: supervised tuning of code models on one's own machines. Importing this package loads nothing else."""

__version__ = "0.1.0"
