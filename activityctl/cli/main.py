"""The entry of the command line: import commands by name, report errors as text and exit codes."""

import errno
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

from activityctl.cli.colors import check_choice, choice_of, uses_escapes
from activityctl.cli.few_collections import no_collections
from activityctl.cli.render.help_page import HelpedCommand, HelpedGroup
from activityctl.cli.session import Session
from activityctl.cli.streams import lost_output, steady_streams
from activityctl.errors import ActivityctlError, InternalError, UsageError, reason_of

COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    # name: (module in activityctl.cli.commands, heading in --help, one line)
    "up": (
        "running.up",
        "Running it",
        "Start the local daemon: Postgres, Temporal, worker and API.",
    ),
    "down": ("running.down", "Running it", "Stop the local daemon and everything it started."),
    "status": (
        "running.status",
        "Running it",
        "Show the state, version, address and pid of each component.",
    ),
    "doctor": ("running.doctor", "Running it", "Check every dependency and suggest the next step."),
    "verify": (
        "running.verify",
        "Running it",
        "Check that recorded workflow histories fit this version.",
    ),
    "worker": ("running.worker", "Running it", "Run a worker against the configured servers."),
    "signer": (
        "running.signer",
        "Running it",
        "Run the process that alone opens the keys of accounts.",
    ),
    "migrate": (
        "running.migrate",
        "Running it",
        "Bring the database's schema to the newest version, and create its roles.",
    ),
    "executor": (
        "running.executor",
        "Running it",
        "Register and try out executors.",
    ),
    "serve": ("running.serve", "Running it", "Serve the HTTP API on this machine."),
    "init": ("gitops.init", "Gitops", "Create a working folder with a sample and a CI workflow."),
    "validate": (
        "gitops.validate",
        "Gitops",
        "Check manifests without a server and report every problem at once.",
    ),
    "apply": ("gitops.apply", "Gitops", "Change Postgres and Temporal to match the manifests."),
    "plan": ("gitops.plan", "Gitops", "Show what apply would change, field by field."),
    "diff": ("gitops.diff", "Gitops", "Show how the live objects differ from the manifests."),
    "export": (
        "gitops.export",
        "Gitops",
        "Print live objects as YAML that can be applied unchanged.",
    ),
    "history": ("gitops.history", "Gitops", "Show who changed an object, when and how."),
    "rollback": ("gitops.rollback", "Gitops", "Restore an earlier version of an object."),
    "schema": ("gitops.schema", "Gitops", "Print the JSON Schema of manifests, for editors."),
    "explain": (
        "gitops.explain",
        "Gitops",
        "Explain a field, or which triggers match an event.",
    ),
    "delete": (
        "gitops.delete",
        "Gitops",
        "Delete a subscription, definition, calendar or event source; keep runs and logs.",
    ),
    "get": ("looking.get", "Looking", "List the objects of one kind."),
    "describe": (
        "looking.describe",
        "Looking",
        "Show one object and the objects that belong to it.",
    ),
    "logs": ("looking.logs", "Looking", "Print or follow the log of subscriptions or a run."),
    "next": ("looking.next", "Looking", "Show when a subscription fires next, and what it skips."),
    "simulate": (
        "looking.simulate",
        "Looking",
        "Show what a trigger of an executor would do, without doing it.",
    ),
    "metrics": (
        "looking.metrics",
        "Looking",
        "Print a dashboard and alerts for the Prometheus metrics.",
    ),
    "top": (
        "looking.top",
        "Looking",
        "Watch workers, queues, runs, failures and breakers.",
    ),
    "wait": ("looking.wait", "Looking", "Wait until a run has ended."),
    "guide": ("looking.guide", "Looking", "Read the documentation, page by page."),
    "trigger": ("acting.trigger", "Acting", "Run a subscription now."),
    "emit": (
        "acting.emit",
        "Acting",
        "Store events and start a run of every subscription that matches.",
    ),
    "backfill": ("acting.backfill", "Acting", "Run due times of the past, once each."),
    "replay": ("acting.replay", "Acting", "Run a past run again, or route events again."),
    "pause": ("acting.pause", "Acting", "Pause a subscription; you can still run it by hand."),
    "resume": ("acting.resume", "Acting", "Resume a paused subscription."),
    "state": (
        "acting.state",
        "Acting",
        "Show or change what a subscription keeps for its next run.",
    ),
    "cancel": ("acting.cancel", "Acting", "Cancel a run and stop its tasks."),
    "dlq": ("acting.dlq", "Acting", "Look at what failed for good; retry or discard it."),
    "complete": ("acting.complete", "Acting", "Complete a task that waits for a person."),
    "breaker": (
        "acting.breaker",
        "Acting",
        "Open or close a circuit breaker by hand.",
    ),
    "recover": (
        "acting.recover",
        "Acting",
        "Carry on what Temporal has lost: runs, firings and schedules.",
    ),
    "backup": ("acting.backup", "Acting", "Write a backup of the database to one file."),
    "restore": ("acting.restore", "Acting", "Replace the database by a backup of it."),
    "purge": ("acting.purge", "Acting", "Remove a secret from everything that is stored."),
    "retention": (
        "acting.retention",
        "Acting",
        "Remove old runs, tasks, logs and dead letters, or show what would go.",
    ),
    "keys": ("settings.keys", "Settings", "Keep the keys that sign hooks and transactions."),
    "secrets": ("settings.secrets", "Settings", "Keep the secrets of tasks on this machine."),
    "tokens": ("settings.tokens", "Settings", "Make and revoke the tokens of the HTTP API."),
    "config": ("settings.config", "Settings", "Show the settings and manage profiles of servers."),
    "version": ("settings.version", "Settings", "Print the version of activityctl and Python."),
}

INTERRUPTED: Final = 130
_OUTER_FAILURES: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENAMETOOLONG, errno.ELOOP),
    }
)
"""What the machine or its owner refuses; any other error of a file is a bug of ours."""
_NEW_OBJECTS: Final = 10_000
"""After so many, Python looks for garbage; with its 700, a tenth of the start goes into that."""
_OUTPUT: Final = re.compile("-[A-Za-z]*o|--output")
_JSON: Final = re.compile("(-[A-Za-z]*o=?|--output=)jsonl?")


class LazyGroup(HelpedGroup):
    """Knows every command's name and one-line help; imports a command when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, panel, line) in COMMANDS.items():
            self.commands[name] = TyperCommand(
                name, short_help=line, help=line, rich_help_panel=panel
            )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Import the command and return it in place of its stub."""
        name, command, rest = super().resolve_command(ctx, args)
        return (name, load_command(name), rest) if name in COMMANDS else (name, command, rest)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C raises the InterruptionError that the command has set, if any.

        An error gets a hint that fits the command.
        """
        words = [*getattr(ctx, "_protected_args", ()), *ctx.args]
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
        except ActivityctlError as error:
            if isinstance(ctx.obj, Session) and error.hint is not None:
                error.hint = ctx.obj.fitting_hint(error.hint, words)
            raise


def load_command(name: str) -> Any:
    """Import the module of the command and return the command, or its group of commands."""
    with no_collections():
        module = importlib.import_module(f"activityctl.cli.commands.{COMMANDS[name][0]}")
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
        str | None, typer.Option(help="Use this profile of the config file.", metavar="NAME")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="Use the local daemon of this folder.", metavar="FOLDER")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="Speak to this HTTP API in place of the database.", metavar="URL"),
    ] = None,
    color: Annotated[
        str,
        typer.Option(
            help="Use colors: auto, always or never; never also draws no progress bars. The "
            "variable NO_COLOR means never.",
            metavar="WHEN",
        ),
    ] = "auto",
) -> None:
    """Run durable automations that are kept in git: you write YAML, Temporal runs it.

    activityctl up -d -f definitions/

    activityctl get runs

    activityctl logs NAME --follow
    """
    flags = {"profile": profile, "home": home, "server": server}
    session = Session(flags, check_choice(color), command=context.invoked_subcommand)
    session.require_reach()
    context.obj = session


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(_NEW_OBJECTS)
    steady_streams()
    try:
        code = _run(args)
        sys.stdout.flush()
        if (lost := lost_output()) is not None:
            code = code or _report(lost, args)
        sys.stderr.flush()
    except BrokenPipeError:
        _end_by_sigpipe()
    if "temporalio" in sys.modules:
        # The client of the SDK crashes one in ten exits of a short process (sdk-python 300).
        os._exit(code)
    gc.freeze()  # the process ends, and one more collection takes a tenth of a second
    sys.exit(code)


def _run(args: list[str]) -> int:
    try:
        escapes = uses_escapes(sys.stdout, choice_of(args))
        result = app(args, standalone_mode=False, prog_name="activityctl", color=escapes)
        code = result if isinstance(result, int) else 0
    except ActivityctlError as error:
        code = _report(error, args)
    except typer.Exit as done:
        code = done.exit_code
    except typer.TyperException as error:
        code = _report_usage(error, args)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit as exiting:
        # typer and rich turn a broken pipe into exit code 1.
        if isinstance(exiting.__context__, BrokenPipeError):
            raise exiting.__context__ from None
        code = exiting.code if isinstance(exiting.code, int) else int(exiting.code is not None)
    except BrokenPipeError:
        raise
    except OSError as error:
        code = _report(_outer_failure(error) or _internal_error(error), args)
    except Exception as error:  # noqa: BLE001  # the only place that catches all: it is our bug
        code = _report(_internal_error(error), args)
    return code


def _end_by_sigpipe() -> NoReturn:
    """End by SIGPIPE, as other tools do when the reader of their output has ended (`| head`).

    A shell then sees exit code 141, which no result of a command has.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(128 + signal.SIGPIPE)  # where SIGPIPE is blocked


def _report_usage(error: typer.TyperException, args: list[str]) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        escapes = uses_escapes(sys.stderr, choice_of(args))
        typer.echo(error.message, err=True, color=escapes)
        return error.exit_code
    from activityctl.cli.usage_errors import usage_error

    command = next((f" {word}" for word in args if word in COMMANDS), "")
    return _report(usage_error(error, f"activityctl{command}"), args)


def _report(error: ActivityctlError, args: list[str]) -> int:
    from activityctl.cli.render.output import print_error

    print_error(error, as_json=_wants_json(args))
    return error.exit_code


def _wants_json(args: list[str]) -> bool:
    """Tell whether the arguments, which may have other errors, ask for JSON or JSON lines."""
    words = args[: args.index("--")] if "--" in args else args
    return any(
        (_OUTPUT.fullmatch(word) and following.startswith("json")) or _JSON.fullmatch(word)
        for word, following in zip(words, [*words[1:], ""], strict=False)
    )


def _outer_failure(error: OSError) -> ActivityctlError | None:
    """Return the error for what the machine refuses, such as a full disk; None for a bug."""
    from activityctl.errors import RefusedError

    if error.errno not in _OUTER_FAILURES:
        return None
    file = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return RefusedError(
        f"{file}{reason_of(error)}",
        hint="free space, or name a file or folder that you may write",
    )


def _internal_error(error: Exception) -> InternalError:
    """Write the traceback to a file and return an error that names the file."""
    try:
        hint = f"report it and add the file {_write_report(error)}"
    except OSError as failure:
        hint = f"report it; the file for the report cannot be written: {reason_of(failure)}"
    return InternalError(f"a bug in activityctl: {type(error).__name__}", hint=hint)


def _write_report(error: Exception) -> str:
    """Write the traceback to a new file and return its path.

    A traceback has no values of variables, but the message of an error may quote a setting.
    """
    import tempfile

    from activityctl.daemon.log import without_secrets
    from activityctl.domain.values.credentials import scrub
    from activityctl.settings import known_secrets
    from activityctl.version import VERSION

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    handle, path = tempfile.mkstemp(prefix=f"activityctl-{stamp}-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"activityctl {VERSION}, Python {sys.version}\n")
        trace = without_secrets("".join(traceback.format_exception(error)))
        report = scrub(trace, known_secrets())
        file.write(report.encode("utf-8", "backslashreplace").decode("utf-8"))
    return path
