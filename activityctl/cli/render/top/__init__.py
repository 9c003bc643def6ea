"""What `top` shows: figures, troubles and runs, as lines that fit the terminal."""
