"""Stands in for vLLM, which needs a GPU: see entrypoints/openai/api_server.py."""
