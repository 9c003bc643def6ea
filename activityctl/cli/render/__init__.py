"""How results look in a terminal: tables, text, Markdown, progress."""
