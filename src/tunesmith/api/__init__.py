"""The process `serve`: what clients speak. Knows the store and the storage; opens no tensors and runs no jobs."""
