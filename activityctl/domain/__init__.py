"""The domain types and their rules: pure functions of their arguments, no clock and no IO."""
