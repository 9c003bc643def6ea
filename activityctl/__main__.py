"""`python -m activityctl` does the same as the `activityctl` command."""

from activityctl.cli.main import main

if __name__ == "__main__":
    main()
