"""Nouns and rules: values in, values out; no clock, no IO."""
