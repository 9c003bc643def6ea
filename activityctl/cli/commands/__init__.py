"""One file a command, in the groups of `activityctl --help`."""
