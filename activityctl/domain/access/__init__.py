"""Who may do what by HTTP: scopes, tokens, callers, and what is kept of each change."""
