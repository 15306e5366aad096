"""States, whoever made them: read, watched, converted, or taken over from other libraries."""
