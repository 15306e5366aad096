"""What gdmethods costs beside Optax and PyTorch: `python -m benchmarks`."""
