"""Watches EVM chains: reads their logs and stores their events."""
