"""Trains, evaluates and runs models; usable alone, knows no server."""
