"""Bodies: what the body of a task may hold: values that choose, scripts, secrets, slots."""
