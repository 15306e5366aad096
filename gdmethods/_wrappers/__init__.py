"""What stands around any transformation: narrow weights, and steps that are not finite."""
