"""The process that runs one attempt of a strategy written in Python."""
