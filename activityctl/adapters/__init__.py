"""Wires to the outside: each realises ports."""
