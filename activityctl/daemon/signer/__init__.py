"""The process that alone opens the keys of accounts."""
