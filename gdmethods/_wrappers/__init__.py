"""Wrappers around any transformation: for narrow weights, and steps that are not finite."""
