"""Wanted against present: the plan, its forecast, apply sets, history and drift."""
