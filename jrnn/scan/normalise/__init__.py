"""Rewrites that leave a step's meaning and make its loop smaller."""
