"""Scores completions: problems, a sandbox, scorers; knows no torch and no server."""
