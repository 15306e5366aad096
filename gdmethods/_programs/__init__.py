"""What all programs share, here and in the examples: options, progress, files, endings."""
