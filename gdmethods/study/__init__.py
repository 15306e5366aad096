"""Which method for *your* problem: tuned equally, repeated with new seeds, compared fairly."""
