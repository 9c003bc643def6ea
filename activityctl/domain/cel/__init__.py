"""The expression language CEL: compiles, checks types, evaluates and renders."""
