"""`activityctl version`."""

from typing import Annotated

import typer

from activityctl.version import VERSION


def version(
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Print the version."""
    import platform

    if output == "json":
        print(f'{{"version": "{VERSION}", "python": "{platform.python_version()}"}}')  # noqa: T201  # the result
    else:
        print(f"activityctl {VERSION} (Python {platform.python_version()})")  # noqa: T201  # the result
