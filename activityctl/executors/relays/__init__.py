"""Sends the calls of executors: by transactions of our own relayers, or by a relay service."""
