"""The expression language: compile, check types, evaluate and render CEL."""
