"""From the rule of one weight to an Optax transformation of trees."""
