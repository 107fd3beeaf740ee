"""Reads, checks, renders and packs examples; knows no torch, no transformers and no server."""
