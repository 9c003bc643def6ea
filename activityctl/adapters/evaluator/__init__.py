"""Evaluates expressions in processes that can be stopped."""
