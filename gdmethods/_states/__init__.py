"""A state, whoever made it: read, watched, converted, or taken over from elsewhere."""
