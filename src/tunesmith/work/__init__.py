"""The worker process: makes happen what the store says; knows no tensors."""
