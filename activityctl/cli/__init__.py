"""The command line: options, commands, and how results look in a terminal."""
