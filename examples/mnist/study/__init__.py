"""Which method? Tuned equally, repeated, on several problems: `python -m examples.mnist study`."""
