"""Durable stories, thin: ids, states, deadlines."""
