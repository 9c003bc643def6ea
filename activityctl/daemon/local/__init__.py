"""The local daemon: supervisor, embedded servers, folder sync and health checks."""
