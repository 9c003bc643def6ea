"""The HTTP API of another process as the ports that commands use: the API decides, not we."""
