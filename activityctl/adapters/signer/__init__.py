"""The signer in a process of its own: what is said over its socket, and its client."""
