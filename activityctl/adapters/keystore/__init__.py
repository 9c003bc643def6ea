"""Where secrets are kept outside of our files: the system's key store, and files."""
