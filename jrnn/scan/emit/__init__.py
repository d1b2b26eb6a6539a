"""Run a planned step: around the loop, in the loop, and chunk by chunk."""
