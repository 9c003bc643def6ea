"""Adapters: implementations of the ports for Postgres, Temporal, files and keyrings."""
