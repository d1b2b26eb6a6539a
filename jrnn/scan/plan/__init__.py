"""Where and how each equation runs: placement, minimum cut, budget of memory."""
