"""Programs that read one of their arguments as code, and which argument that is."""

import re
from collections.abc import Sequence
from typing import Final

_SHELLS: Final = frozenset(
    {"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "su", "runuser", "script", "flock"}
)
_CODE_FLAGS: Final = {
    **dict.fromkeys(_SHELLS, re.compile(r"-[A-Za-z]*c|--command")),
    **dict.fromkeys(("python", "pypy"), re.compile(r"-[A-Za-z]*c")),
    **dict.fromkeys(("perl", "ruby", "lua", "R", "Rscript"), re.compile(r"-[A-Za-z0-9]*[eE]")),
    **dict.fromkeys(("node", "nodejs", "deno", "bun"), re.compile(r"-[a-z]*[ep]|--eval|--print")),
    "php": re.compile(r"-r"),
    "pwsh": re.compile(r"(?i)-c(ommand)?"),
}
"""The option of each program after which code stands."""
_NEED_A_FLAG: Final = frozenset({"script", "flock"})
"""Programs that never read their standard input as code."""
_FIRST_WORD_IS_CODE: Final = frozenset({"awk", "gawk", "mawk", "nawk", "sed"})
_ALWAYS_CODE: Final = frozenset({"eval", "let", "[[", "ssh", "trap", "parallel", "watch"})
_WRAPPERS: Final = frozenset(
    (
        "env",
        "nice",
        "nohup",
        "timeout",
        "setsid",
        "sudo",
        "doas",
        "stdbuf",
        "ionice",
        "chroot",
        "docker",
        "podman",
        "kubectl",
        "busybox",
        "time",
        "exec",
        "setpriv",
        "unshare",
        "nsenter",
        "xargs",
        "find",
        "taskset",
        "systemd-run",
    )
)
_WRAPPER_WORDS: Final = {
    "timeout": 1,
    "chroot": 1,
    "taskset": 1,
    "docker": 2,
    "podman": 2,
    "kubectl": 2,
}
"""How many words, options apart, stand between these wrappers and the program."""
_WRAPPER_OPTIONS: Final = {
    "doas": "-u -C",
    "env": "-u --unset -C --chdir -a --argv0",
    "exec": "-a",
    "ionice": "-c --class -n --classdata -p -P -u",
    "nice": "-n --adjustment",
    "nsenter": "-t --target -S --setuid -G --setgid",
    "setpriv": "--reuid --regid --groups --inh-caps --ambient-caps --bounding-set",
    "stdbuf": "-i --input -o --output -e --error",
    "sudo": "-u --user -g --group -C -h --host -p --prompt -r -t -T -D --chdir -R --chroot",
    "systemd-run": "-p --property -u --unit -E --setenv --uid --gid -M --machine --slice",
    "time": "-f --format -o --output",
    "timeout": "-s --signal -k --kill-after",
    "xargs": "-n -P -I -d -L -s -a -E --max-args --max-procs --arg-file --delimiter",
}
"""Options of wrappers whose value is the next word."""
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_FIND_ACTIONS: Final = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_WITH_VALUE: Final = frozenset(
    (
        "-o",
        "-O",
        "+O",
        "--rcfile",
        "--init-file",
        "-W",
        "-X",
        "-I",
        "-r",
        "-M",
        "-F",
        "-v",
        "-s",
        "--shell",
        "-i",
        "-w",
        "-E",
        "-d",
        "-h",
        "-U",
        "-p",
    )
)
"""Options of interpreters whose value is the next word."""
_VERSION: Final = re.compile(r"[\d.]+$")


def program_name(word: str) -> str:
    """Return the name of a program without folder and version: `python` for /bin/python3.11."""
    return _VERSION.sub("", word.rpartition("/")[2]) or word


def code_argument(argv: Sequence[str]) -> tuple[int, bool] | None:
    """Return the index of the argument that is code, and whether a shell reads it.

    None if no argument is code. The program may stand behind wrappers such as `env` or `timeout`.
    """
    if not argv:
        return None
    behind_wrapper = program_name(argv[0]) in _WRAPPERS
    for index in range(len(argv) if behind_wrapper else 1):
        name = program_name(argv[index])
        if behind_wrapper and name == "env" and (found := _split_string(argv, index)):
            return found, True
        if (found := _code_after(name, argv, index + 1)) is not None:
            return found, name in _SHELLS
    return None


def program_words(argv: Sequence[str]) -> list[int]:
    """Return the indexes of the words that choose what runs.

    These are wrappers with their options, the program, and the file or module that an interpreter
    runs. A variable that `env` sets belongs to them only if its name is not written out.
    """
    found, at = [], 0
    while at < len(argv):
        name = program_name(argv[at])
        found.append(at)
        at += 1
        if name == "find":
            return found + [i + 1 for i in range(at, len(argv) - 1) if argv[i] in _FIND_ACTIONS]
        if name not in _WRAPPERS:
            return found + _program_files(name, argv, at)
        at = _read_wrapper(name, argv, at, found)
    return found


def _read_wrapper(name: str, argv: Sequence[str], at: int, found: list[int]) -> int:
    """Add the options and words of a wrapper to `found`; return where its program is."""
    words = _WRAPPER_WORDS.get(name, 0)
    with_value = _WRAPPER_OPTIONS.get(name, "").split()
    while at < len(argv):
        word = argv[at]
        if _ASSIGNMENT.match(word):
            at += 1
            continue
        if not word.startswith("-"):
            if not words:
                break
            words -= 1
        found.append(at)
        at += 1
        if word in with_value and at < len(argv):
            found.append(at)
            at += 1
    return at


def _program_files(name: str, argv: Sequence[str], at: int) -> list[int]:
    """Return the indexes of the words that name the file or the module that a program runs."""
    if name in _FIRST_WORD_IS_CODE:
        flags = range(at, len(argv) - 1)
        return [index + 1 for index in flags if argv[index] in {"-f", "--file"}]
    code = _CODE_FLAGS.get(name)
    if code is None or name in _NEED_A_FLAG:
        return []
    while at < len(argv) and argv[at].startswith(("-", "+")):
        if code.match(argv[at]):
            return []
        if argv[at] == "-m":
            break
        at += 2 if argv[at] in _WITH_VALUE else 1
    at += at < len(argv) and argv[at] == "-m"
    return [at] if at < len(argv) else []


def input_is_code(argv: Sequence[str]) -> bool | None:
    """Return whether a shell reads the standard input as code; None if no interpreter does."""
    behind_wrapper = bool(argv) and program_name(argv[0]) in _WRAPPERS
    for index in range(len(argv) if behind_wrapper else min(1, len(argv))):
        name = program_name(argv[index])
        is_interpreter = name in _CODE_FLAGS and name not in _NEED_A_FLAG
        if is_interpreter and _has_no_file(argv[index + 1 :], _CODE_FLAGS[name]):
            return name in _SHELLS
    return None


def _has_no_file(options: Sequence[str], code: re.Pattern[str]) -> bool:
    """Return whether an interpreter with these arguments reads its program from standard input."""
    at = 0
    while at < len(options):
        word = options[at]
        if word in {"-", "-s"}:
            return True
        if not word.startswith(("-", "+")) or code.match(word):
            return False
        at += 2 if word in _WITH_VALUE else 1
    return True


def starts_shell_code(words: Sequence[str]) -> str | None:
    """Return the program among the words of a command that reads all that follows as code."""
    for index, word in enumerate(words):
        name = program_name(word)
        if name in _ALWAYS_CODE:
            return name
        flag = _CODE_FLAGS.get(name)
        if flag and any(flag.match(other) for other in words[index + 1 :]):
            return name
    return None


def reads_code(words: Sequence[str]) -> str | None:
    """Return the program among the words of a command that reads a quoted text as code."""
    names = (program_name(word) for word in words)
    return next((n for n in names if n in _FIRST_WORD_IS_CODE or n in _CODE_FLAGS), None)


def _split_string(argv: Sequence[str], index: int) -> int | None:
    """Return the index of the text that `env -S` splits into words."""
    for position in range(index + 1, len(argv)):
        if argv[position] in {"-S", "--split-string"}:
            return position + 1 if position + 1 < len(argv) else None
        if not argv[position].startswith("-") and "=" not in argv[position]:
            return None
    return None


def _code_after(name: str, argv: Sequence[str], start: int) -> int | None:
    flag, at = _CODE_FLAGS.get(name), start
    if flag is None and name not in _FIRST_WORD_IS_CODE:
        return None
    while at < len(argv):
        word = argv[at]
        if flag is None and word in {"-e", "--expression"}:
            return at + 1 if at + 1 < len(argv) else None
        if flag is not None and (found := flag.match(word)):
            attached = len(word) > len(found[0]) and not word.startswith("--")
            is_code = attached and name not in _SHELLS
            return at if is_code else _next_word(argv, at)
        if not word.startswith(("-", "+")):
            # `su` and the like name an account or file before the option.
            if name in {"su", "runuser", "script", "flock"}:
                at += 1
                continue
            return at if flag is None else None
        at += 2 if word in _WITH_VALUE else 1
    return None


def _next_word(argv: Sequence[str], at: int) -> int | None:
    """Return the first word after the option that is no option itself: `sh -c -e SCRIPT`."""
    return next((i for i in range(at + 1, len(argv)) if not argv[i].startswith("-")), None)
