"""Talks to the nodes of EVM chains by JSON-RPC."""
