"""Writes to the user's files: in one step, keeping what is there."""
