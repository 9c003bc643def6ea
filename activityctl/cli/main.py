"""The command line's entry: loads commands by name, and turns errors into text and exit codes."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from activityctl.cli.session import Session
from activityctl.errors import ActivityctlError, InternalError

COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    # name: (module in activityctl.cli, panel of --help, one line)
    "up": ("up", "Running it", "Start the local daemon: Postgres, Temporal, worker and API."),
    "down": ("down", "Running it", "Stop the local daemon and everything it started."),
    "status": ("status", "Running it", "Show each component: state, version, address, pid."),
    "doctor": ("doctor", "Running it", "Check every dependency and say what to do next."),
    "worker": ("worker", "Running it", "Run a worker against the configured servers."),
    "serve": ("serve", "Running it", "Serve the HTTP API on loopback."),
    "init": ("init", "Gitops", "Make a working folder with a sample and a CI workflow."),
    "validate": ("validate", "Gitops", "Check manifests without a server, every problem at once."),
    "apply": ("apply", "Gitops", "Make Postgres and Temporal agree with manifests."),
    "plan": ("plan", "Gitops", "Show what apply would change, field by field."),
    "diff": ("diff", "Gitops", "Show how the live objects differ from the files."),
    "export": ("export", "Gitops", "Print what lives as YAML that applies unchanged."),
    "history": ("history", "Gitops", "Show who changed an object, when and how."),
    "rollback": ("rollback", "Gitops", "Give an object an earlier content again."),
    "schema": ("schema", "Gitops", "Print JSON Schema of the manifests, for editors."),
    "explain": ("explain", "Gitops", "Say what a field means, or what triggers make of an event."),
    "delete": ("delete", "Gitops", "Delete a subscription or a definition; runs and logs stay."),
    "get": ("get", "Looking", "List objects of a kind."),
    "describe": ("describe", "Looking", "Show one object and what belongs to it."),
    "logs": ("logs", "Looking", "Print or follow a subscription's log."),
    "next": ("next", "Looking", "Show when a subscription fires next, and why not."),
    "wait": ("wait", "Looking", "Wait until a run has ended."),
    "trigger": ("trigger", "Acting", "Run a subscription now."),
    "emit": ("emit", "Acting", "Store events; every subscription that matches gets one run."),
    "backfill": ("backfill", "Acting", "Run past times after all, once each."),
    "replay": ("replay", "Acting", "Feed events of the archive again."),
    "pause": ("pause", "Acting", "Pause a subscription's schedules."),
    "resume": ("resume", "Acting", "Resume a paused subscription."),
    "cancel": ("cancel", "Acting", "Cancel a run and stop what it is doing."),
    "config": ("config", "Settings", "Show the settings, and keep profiles of servers."),
    "version": ("version", "Settings", "Print the version."),
}

INTERRUPTED: Final = 130


class LazyGroup(TyperGroup):
    """Knows every command's name and line; imports a command when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, panel, line) in COMMANDS.items():
            self.commands[name] = TyperCommand(
                name, short_help=line, help=line, rich_help_panel=panel
            )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the real command in place of its stub."""
        name, command, rest = super().resolve_command(ctx, args)
        return (name, load_command(name), rest) if name in COMMANDS else (name, command, rest)


def load_command(name: str) -> Any:
    """Import the command's file and return its command, or its group of commands."""
    module = importlib.import_module(f"activityctl.cli.{COMMANDS[name][0]}")
    if isinstance(group := getattr(module, name), typer.Typer):
        return typer.main.get_command(group)
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command(name)(getattr(module, name))
    return typer.main.get_command(app)


app = typer.Typer(
    cls=LazyGroup,
    name="activityctl",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    context: typer.Context,
    profile: Annotated[
        str | None, typer.Option(help="Profile of the config file to use.", metavar="NAME")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="The local daemon's folder.", metavar="FOLDER")
    ] = None,
    color: Annotated[
        str, typer.Option(help="auto, always or never; NO_COLOR is heeded.", metavar="WHEN")
    ] = "auto",
) -> None:
    """Durable automations kept in git: YAML in, Temporal and Postgres made to agree with it.

    First steps: [bold]activityctl up -d -f definitions/[/bold], then
    [bold]activityctl get runs[/bold] and [bold]activityctl logs NAME --follow[/bold].
    """
    context.obj = Session(flags={"profile": profile, "home": home}, color=color)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    code = _run(args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.flush()
    if "temporalio" in sys.modules:
        # The SDK's client crashes one exit in ten of a short-lived process (sdk-python 300).
        os._exit(code)
    sys.exit(code)


def _run(args: list[str]) -> int:
    try:
        result = app(args, standalone_mode=False, prog_name="activityctl")
        code = result if isinstance(result, int) else 0
    except ActivityctlError as error:
        code = _report(error, args)
    except typer.Exit as done:
        code = done.exit_code
    except typer.TyperException as error:
        code = error.exit_code
        if (show := getattr(error, "show", None)) is not None:
            show()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        code = 0
    except Exception as error:  # noqa: BLE001  # the one boundary: our bug, told in one line
        code = _report(_bug(error), args)
    return code


def _report(error: ActivityctlError, args: list[str]) -> int:
    from activityctl.cli.output import print_error

    print_error(error, as_json=_wants_json(args))
    return error.exit_code


def _wants_json(args: list[str]) -> bool:
    joined = " ".join(args)
    return any(
        f"{option}{gap}json" in joined for option in ("-o", "--output") for gap in (" ", "=", "")
    )


def _bug(error: Exception) -> InternalError:
    """Write the traceback to a file; the user sees one line and the file's path."""
    import tempfile

    from activityctl.version import VERSION

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    handle, path = tempfile.mkstemp(prefix=f"activityctl-{stamp}-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"activityctl {VERSION}, Python {sys.version}\n")
        file.writelines(traceback.format_exception(error))
    return InternalError(
        f"a bug in activityctl: {type(error).__name__}", hint=f"report it with the file {path}"
    )
