"""What makes weights and state narrower than float32, and what keeps them unbiased there."""
