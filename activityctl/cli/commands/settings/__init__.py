"""Commands about settings and the installation."""
