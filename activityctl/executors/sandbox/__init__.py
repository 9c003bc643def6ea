"""The program that runs the code of one `code` task, in a process of its own."""
