"""The process `serve`: what clients speak. Knows no tensors; writes into the store and reads from it."""
