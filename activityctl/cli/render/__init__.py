"""Results as tables, text, JSON and Markdown, pages of help, and progress bars."""
