"""The command line's entry: loads commands by name, and turns errors into text and exit codes."""

import gc
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand

from activityctl.cli.render.help_page import HelpedCommand, HelpedGroup
from activityctl.cli.session import Session
from activityctl.errors import ActivityctlError, InternalError, UsageError

COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    # name: (module in activityctl.cli.commands, panel of --help, one line)
    "up": (
        "running.up",
        "Running it",
        "Start the local daemon: Postgres, Temporal, worker and API.",
    ),
    "down": ("running.down", "Running it", "Stop the local daemon and everything it started."),
    "status": (
        "running.status",
        "Running it",
        "Show each component: state, version, address, pid.",
    ),
    "doctor": ("running.doctor", "Running it", "Check every dependency and say what to do next."),
    "worker": ("running.worker", "Running it", "Run a worker against the configured servers."),
    "serve": ("running.serve", "Running it", "Serve the HTTP API on loopback."),
    "init": ("gitops.init", "Gitops", "Make a working folder with a sample and a CI workflow."),
    "validate": (
        "gitops.validate",
        "Gitops",
        "Check manifests without a server, every problem at once.",
    ),
    "apply": ("gitops.apply", "Gitops", "Make Postgres and Temporal agree with manifests."),
    "plan": ("gitops.plan", "Gitops", "Show what apply would change, field by field."),
    "diff": ("gitops.diff", "Gitops", "Show how the live objects differ from the files."),
    "export": ("gitops.export", "Gitops", "Print what lives as YAML that applies unchanged."),
    "history": ("gitops.history", "Gitops", "Show who changed an object, when and how."),
    "rollback": ("gitops.rollback", "Gitops", "Give an object an earlier content again."),
    "schema": ("gitops.schema", "Gitops", "Print JSON Schema of the manifests, for editors."),
    "explain": (
        "gitops.explain",
        "Gitops",
        "Say what a field means, or what triggers make of an event.",
    ),
    "delete": (
        "gitops.delete",
        "Gitops",
        "Delete a subscription or a definition; runs and logs stay.",
    ),
    "get": ("looking.get", "Looking", "List objects of a kind."),
    "describe": ("looking.describe", "Looking", "Show one object and what belongs to it."),
    "logs": ("looking.logs", "Looking", "Print or follow a subscription's log."),
    "next": ("looking.next", "Looking", "Show when a subscription fires next, and why not."),
    "wait": ("looking.wait", "Looking", "Wait until a run has ended."),
    "trigger": ("acting.trigger", "Acting", "Run a subscription now."),
    "emit": (
        "acting.emit",
        "Acting",
        "Store events; every subscription that matches gets one run.",
    ),
    "backfill": ("acting.backfill", "Acting", "Run past times after all, once each."),
    "replay": ("acting.replay", "Acting", "Feed events of the archive again."),
    "pause": ("acting.pause", "Acting", "Pause a subscription's schedules."),
    "resume": ("acting.resume", "Acting", "Resume a paused subscription."),
    "cancel": ("acting.cancel", "Acting", "Cancel a run and stop what it is doing."),
    "config": ("settings.config", "Settings", "Show the settings, and keep profiles of servers."),
    "version": ("settings.version", "Settings", "Print the version."),
}

INTERRUPTED: Final = 130
_OUTPUT: Final = re.compile("-[A-Za-z]*o|--output")
_JSON: Final = re.compile("(-[A-Za-z]*o=?|--output=)jsonl?")


class LazyGroup(HelpedGroup):
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

    def invoke(self, ctx: Any) -> Any:
        """Run the command; when Ctrl-C ends it, what it has said of that is the error."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if isinstance(ctx.obj, Session) and ctx.obj.interruption is not None:
                raise ctx.obj.interruption from None
            raise
        except UsageError as error:
            if error.hint is None:
                error.hint = f"activityctl {ctx.invoked_subcommand} --help"
            raise


def load_command(name: str) -> Any:
    """Import the command's file and return its command, or its group of commands."""
    gc.disable()  # imports leave no garbage, and looking for it takes a tenth of a second
    module = importlib.import_module(f"activityctl.cli.commands.{COMMANDS[name][0]}")
    gc.freeze()
    gc.enable()
    if isinstance(group := getattr(module, name), typer.Typer):
        return typer.main.get_command(group)
    app = typer.Typer(add_completion=False)
    app.command(name, cls=HelpedCommand)(getattr(module, name))
    return typer.main.get_command(app)


app = typer.Typer(
    cls=LazyGroup,
    name="activityctl",
    no_args_is_help=True,
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

    activityctl up -d -f definitions/

    activityctl get runs

    activityctl logs NAME --follow
    """
    context.color = {"always": True, "never": False}.get(color)
    context.obj = Session(flags={"profile": profile, "home": home}, color=color)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(args)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        _die_unread()
    if "temporalio" in sys.modules:
        # The SDK's client crashes one exit in ten of a short-lived process (sdk-python 300).
        os._exit(code)
    gc.freeze()  # the process ends: looking for garbage once more takes a tenth of a second
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
        code = _report_usage(error, args)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit as leaving:
        # typer and rich turn a broken pipe into an exit with 1.
        if isinstance(leaving.__context__, BrokenPipeError):
            raise leaving.__context__ from None
        raise
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the one boundary: our bug, told in one line
        code = _report(_bug(error), args)
    return code


def _die_unread() -> NoReturn:
    """End by SIGPIPE, as other tools do when what reads their output has gone (`| head`).

    So the exit code, 141 to a shell, is never taken for what the command had to say.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(128 + signal.SIGPIPE)  # where SIGPIPE is blocked


def _report_usage(error: typer.TyperException, args: list[str]) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.message, err=True)
        return error.exit_code
    from activityctl.cli.usage_errors import usage_error

    named = next((f" {word}" for word in args if word in COMMANDS), "")
    return _report(usage_error(error, f"activityctl{named}"), args)


def _report(error: ActivityctlError, args: list[str]) -> int:
    from activityctl.cli.render.output import print_error

    print_error(error, as_json=_wants_json(args))
    return error.exit_code


def _wants_json(args: list[str]) -> bool:
    """Whether `-o json`, or its like, is among the words; they may be wrong otherwise."""
    words = args[: args.index("--")] if "--" in args else args
    return any(
        (_OUTPUT.fullmatch(word) and following.startswith("json")) or _JSON.fullmatch(word)
        for word, following in zip(words, [*words[1:], ""], strict=True)
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
