"""`activityctl version`: print the version."""

from activityctl.cli.options import TextOrJson
from activityctl.version import VERSION


def version(output: TextOrJson = "text") -> None:
    """Print the version of activityctl and of Python.

    activityctl version -o json
    """
    import platform

    if output == "json":
        print(f'{{"version": "{VERSION}", "python": "{platform.python_version()}"}}')  # noqa: T201  # the result
    else:
        print(f"activityctl {VERSION} (Python {platform.python_version()})")  # noqa: T201  # the result
