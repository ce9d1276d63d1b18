"""Help, version, exit codes, wrong use."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from driftbus.cli.app import COMMANDS, app
from tests.cli.commands import clean_environ, driftbus

HEAVY = ("river", "confluent_kafka", "pydantic", "numpy", "sqlite3")


def test_help_shows_every_command_and_examples() -> None:
    done = driftbus("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f" {name} " in done.stdout
    assert "driftbus replay events.jsonl" in done.stdout


@pytest.mark.parametrize("columns", ["60", "100"])
def test_help_flows_at_any_width_and_keeps_the_lines_of_examples(columns: str) -> None:
    shown = driftbus("ingest", "--help", environ={"COLUMNS": columns}).stdout
    said = [line.strip() for line in shown.partition("╭")[0].splitlines()]
    flowing = [part.splitlines() for part in "\n".join(said).strip().split("\n\n") if "Examples:" not in part]
    # A line that breaks before it is full was broken by its author.
    for lines in flowing:
        for line, after in itertools.pairwise(lines):
            assert len(line) + len(after.split()[0]) + 3 > int(columns), line
    shown = driftbus("export", "--help", environ={"COLUMNS": "100"}).stdout
    assert "   driftbus export --stream fraud --from 30d --out rows.csv  " in shown
    assert "\b" not in shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['driftbus', '--help']\n"
        "from driftbus.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_takes_a_configuration_file(name: str) -> None:
    first = {"topics": ["create"], "dead-letters": ["list"]}
    args = [name, *first.get(name, []), "--help"]
    result = CliRunner().invoke(app(), args, env=clean_environ())
    assert result.exit_code == 0
    if name != "init":  # it makes one
        assert "--config" in result.output


def test_version() -> None:
    done = driftbus("--version")
    assert (done.returncode, done.stdout) == (0, "driftbus 0.1.0\n")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("driftbus st", {"streams"}),
        ("driftbus topics ", {"create"}),
        ("driftbus streams --sort ", {"worst", "name", "error", "lag"}),
        ("driftbus export --st", {"--stream"}),
        ("driftbus nonsense --h", {"--help"}),
    ],
)
def test_a_shell_is_told_how_words_go_on(words: str, offered: set[str]) -> None:
    environ = {"_DRIFTBUS_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environ["COMP_CWORD"] = str(words.count(" "))
    code = "import sys; sys.argv = ['driftbus']; from driftbus.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**clean_environ(), **environ},
    )  # fmt: skip
    assert set(done.stdout.split()) == offered
    assert done.stderr == ""


def test_completion_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    # Typer looks which shell it was started from, and a test may have been started from none.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = CliRunner().invoke(app(), ["--show-completion", "bash"], env=clean_environ())
    assert done.exit_code == 0
    assert "complete" in done.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Usage"),
        (["wrker"], "Did you mean 'worker'?"),
        (["frobnicate"], "There are: demo, worker"),
        (["--nope"], "--nope"),
        (["worker", "--nope"], "--nope"),
        (["replay"], "FILE"),
        (["replay", "/no/such/file"], "does not exist"),
        (["replay", __file__, "--label", "y"], "--label needs both --label and --prediction"),
        (["reference", "fraud"], "FILE"),
        (["retrain", "fraud"], "--reason"),
        (["retrain", "x" * 257, "--reason", "r"], "256 characters"),
        (["retrain", "fraud", "--reason", "x" * 2000], "reason"),
        (["topics", "create", "--partitions", "0"], "partitions"),
        (["schemas"], "--out"),
        (["worker", "--log-level", "loud"], "loud"),
    ],
)
def test_wrong_use_exits_2_and_says_what_is_right(args: list[str], message: str) -> None:
    result = CliRunner().invoke(app(), args, env=clean_environ())
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_a_table_needs_its_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("y,p\n1,1\n")
    result = CliRunner().invoke(app(), ["replay", str(tmp_path / "t.csv")], env=clean_environ())
    assert result.exit_code == 2
    assert "--label COL and --prediction COL" in result.output


@pytest.mark.parametrize(
    "command",
    [
        ["worker"],
        ["replay", __file__],
        ["topics", "create"],
        ["retrain", "fraud", "--reason", "r"],
    ],
    ids=lambda command: command[0],
)
def test_a_wrong_configuration_exits_2_and_names_every_mistake(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("grup: x\nhttp:\n  prt: 1\n")
    done = driftbus(*command, "--config", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"driftbus: {path}:1: grup: " in done.stderr
    assert "Did you mean 'group'?" in done.stderr
    assert f"driftbus: {path}:3: http.prt: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_file_may_be_named_before_the_command_or_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("grup: x\n")
    before = driftbus("--config", path, "replay", __file__)
    by_environment = driftbus("replay", __file__, environ={"DRIFTBUS_CONFIG": str(path)})
    for done in (before, by_environment):
        assert done.returncode == 2
        assert f"driftbus: {path}:1: grup: " in done.stderr


def test_the_file_named_by_the_command_wins_over_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("group: g\n")
    (tmp_path / "events.jsonl").write_text("")
    args = ["--config", "/no/such", "replay", tmp_path / "events.jsonl", "--config", tmp_path / "good.yaml"]
    assert driftbus(*args, environ={"DRIFTBUS_CONFIG": "/nor/this"}).returncode == 0


def test_an_absent_configuration_file_exits_2() -> None:
    done = driftbus("worker", "--config", "/no/such.yaml")
    assert done.returncode == 2
    assert "/no/such.yaml" in done.stderr
