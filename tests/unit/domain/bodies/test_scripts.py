"""Expressions in scripts: refused by `check_scripts`, passed as one word by `render_command`."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from activityctl.domain.bodies.scripts import check_scripts, render_command
from activityctl.domain.cel.static_type import params_type
from activityctl.errors import ExpressionError

SCOPE = {
    "params": params_type(
        {
            "type": "object",
            "properties": {
                "count": {"type": "integer"},
                "flag": {"type": "boolean"},
                "text": {"type": "string"},
            },
        }
    )
}
X = "${ params.text }"
EVIL = "a b $(touch HIT) `touch HIT` '; touch HIT #\" ; touch HIT\n touch HIT * | touch HIT & \\"


def found(**body: Any) -> list[tuple[tuple[str | int, ...], int | None]]:
    return [(finding.path, finding.offset) for finding in check_scripts(body, SCOPE)]


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", X],
        ["/bin/bash", "-c", X],
        ["bash", "-eu", "-o", "pipefail", "-c", X],
        ["bash", "-lc", X],
        ["env", "sh", "-c", X],
        ["env", "A=b", "bash", "-c", X],
        ["env", "-S", X],
        ["timeout", "5", "sh", "-c", X],
        ["sudo", "-u", "app", "sh", "-c", X],
        ["docker", "exec", "box", "sh", "-c", X],
        ["su", "app", "-c", X],
        ["python3", "-c", X],
        ["python3.11", "-W", "ignore", "-Ic", X],
        ["python3", "-cprint(" + X + ")"],
        ["perl", "-ne", X],
        ["node", "-e", X],
        ["ruby", "-e", X],
        ["php", "-r", X],
        ["awk", "-F", ",", X],
        ["sed", "-n", X],
        ["sed", "-e", X],
    ],
)
def test_an_expression_in_the_script_argument_is_found(argv: list[str]):
    ((path, offset),) = found(argv=argv)
    index = next(index for index, word in enumerate(argv) if "${" in word)
    assert path == ("argv", index)
    assert argv[index][offset:].startswith("params.text }")


@pytest.mark.parametrize(
    "argv",
    [
        ["echo", X],
        ["python3", "-c", "import sys", X],
        ["sh", "-c", 'echo "$1"', "sh", X],
        ["python3", "report.py", "-c", X],
        ["bash", "report.sh", "-c", X],
        ["awk", "{ print }", X],
        ["python3", "-c", "import sys"],
        ["grep", "-r", "node", "-e", X],
        ["env", "A=" + X, "printenv"],
        ["sh", "-c", "sleep ${ params.count }; ${ params.flag }"],
    ],
)
def test_other_arguments_and_harmless_values_are_allowed(argv: list[str]):
    assert found(argv=argv) == []


def test_shell_and_the_input_of_an_interpreter_are_scripts():
    assert found(shell=f"echo {X}") == [(("shell",), 8)]
    assert found(argv=["sh"], stdin=X) == [(("stdin",), 3)]
    assert found(argv=["env", "bash", "-s"], stdin=X) == [(("stdin",), 3)]
    assert found(argv=["python3", "-"], stdin=X) == [(("stdin",), 3)]
    assert found(argv=["python3", "job.py"], stdin=X) == []
    assert found(argv=["cat"], stdin=X) == []
    assert found(argv=["python3", "-c", "import sys"], stdin=X) == []
    assert found(shell="cat", stdin=X) == []


def test_the_reason_says_how_to_write_it():
    (finding,) = check_scripts({"shell": "echo ${ event.data.customerName }"}, {})
    assert 'env: {CUSTOMER_NAME: "${ event.data.customerName }"}' in finding.reason
    assert '"$CUSTOMER_NAME"' in finding.reason


def test_a_value_must_not_choose_the_program():
    assert [finding.path for finding in check_scripts("${ params.text }", SCOPE)] == [()]


def rendered(body: dict[str, Any], value: Any) -> dict[str, Any]:
    return render_command(body, {"params": {"text": value}})


def output_of(body: dict[str, Any], folder: Path) -> str:
    argv = body.get("argv") or ["/bin/sh", "-c", body["shell"]]
    environment = {"PATH": os.environ["PATH"], **body["env"]}
    done = subprocess.run(
        argv,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        input=body.get("stdin", ""),
    )
    return done.stdout


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"printf %s {X}", EVIL),
        (f'printf %s "{X}"', EVIL),
        (f"printf %s '{X}'", EVIL),
        (f"printf %s a{X}b", f"a{EVIL}b"),
        (f'printf %s \'{{"id": "{X}"}}\'', f'{{"id": "{EVIL}"}}'),
        (f"printf %s \"$(printf %s '{X}')\"", EVIL),
        (f'printf %s "$(printf %s "{X}")"', EVIL),
        (f'printf %s "$(printf %s {X})"', EVIL),
        (f"printf %s `printf %s '$1'`; printf %s {X}", f"$1{EVIL}"),
        (f"# it's a note\nprintf %s {X}", EVIL),
        (f"# {X}\nprintf ok", "ok"),
        (f"echo a#b'c'; printf %s {X}", f"a#bc\n{EVIL}"),
        (f"cat <<END\nit's {X}\nEND\nprintf %s {X}", f"it's {EVIL}\n{EVIL}"),
        (f"cat <<-'END'\n\tit's \"\n\tEND\nprintf %s {X}", f"it's \"\n{EVIL}"),
        (f"x={X}; case a in a) printf %s {X};; esac", EVIL),
        (f"printf %s $((1 + 2)){X}", f"3{EVIL}"),
        (f"printf %s \\'{X}", f"'{EVIL}"),
        (f"printf %s $${{PWD##*}}{X}", EVIL),
        (f"echo {X} >/dev/null | python3 -c 'print(1)'", "1\n"),
    ],
)
def test_old_scripts_get_the_value_as_one_word(script: str, expected: str, tmp_path: Path):
    body = rendered({"shell": script}, EVIL)
    assert output_of(body, tmp_path) == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [
        {"argv": ["sh", "-c", f"printf %s {X}"]},
        {"argv": ["env", "sh", "-c", f"printf %s '{X}'"], "env": {"A": "b"}},
        {"argv": ["sh", "-s"], "stdin": f"printf %s '{X}'"},
    ],
)
def test_so_do_old_shell_scripts_elsewhere(body: dict[str, Any], tmp_path: Path):
    assert output_of(rendered(body, EVIL), tmp_path) == EVIL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [
        {"shell": f"eval echo {X}"},
        {"shell": f'bash -c "echo {X}"'},
        {"shell": f"sh -c 'echo {X}'"},
        {"shell": f"env sh -c 'echo {X}'"},
        {"shell": f"python3 -c 'print({X})'"},
        {"shell": f"awk '{{ print {X} }}'"},
        {"shell": f"ssh host rm {X}"},
        {"shell": f"echo {X} | sh"},
        {"shell": f"cat x | sudo bash -s; echo {X}"},
        {"shell": f"bash <<END\necho {X}\nEND"},
        {"shell": f"cat <<'END'\n{X}\nEND"},
        {"shell": f"echo $(( {X} + 1 ))"},
        {"shell": f"let a={X}"},
        {"shell": f"[[ {X} -eq 1 ]]"},
        {"argv": ["python3", "-c", f"print({X})"]},
    ],
)
def test_a_text_that_would_be_read_as_code_fails_the_task(body: dict[str, Any]):
    with pytest.raises(ExpressionError, match="cannot be passed safely"):
        rendered(body, EVIL)


def test_numbers_and_booleans_stand_in_old_scripts_as_they_are():
    body = rendered({"argv": ["python3", "-c", f"print({X})"]}, 7)
    assert body["argv"] == ["python3", "-c", "print(7)"]
    assert rendered({"shell": f"exit {X}"}, 3)["shell"] == "exit 3"
    assert rendered({"shell": f"echo {X}!"}, None)["shell"] == "echo !"


def test_a_body_without_expressions_in_scripts_is_rendered_as_before():
    body = {"shell": "echo $${HOME}", "env": {"A": X}}
    assert rendered(body, "b") == {"shell": "echo ${HOME}", "env": {"A": "b"}}
    assert rendered({"argv": ["echo", X]}, "b") == {"argv": ["echo", "b"]}
