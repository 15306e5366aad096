"""The library's own rules at play in a browser."""
