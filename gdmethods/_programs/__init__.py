"""What the programs do alike, here and in the examples: options, progress, files, endings."""
