"""From a clean clone every command of the pages runs as it is printed, or says why it cannot here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.cli.commands import in_process
from tests.docs.pages import ROOT, blocks, inline, pages
from tests.docs.stage import play, stage
from tests.integration.live_worker import LiveWorker, live_worker

# `DRIFTBUS_HTTP__PORT=8712 driftbus worker`
ASSIGNMENT = re.compile(r"[A-Z_]+=")
# Pages whose commands are about a world in which something has happened; the others begin with nothing.
ABOUT_A_WORLD = ("docs/guides/people.md", "docs/guides/trainers.md")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


TO_RUN = [page for page in pages() if any(block.not_run is None for block in blocks(page))]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorker]:
    """A worker whose stream `churn` has drifted, and waits for its trainer."""
    with live_worker(tmp_path_factory.mktemp("world")) as running:
        running.wait_until(lambda: running.json("/api/streams/churn")["requests"], "a request for churn")
        yield running


def surroundings(page: Path, folder: Path, request: pytest.FixtureRequest) -> Mapping[str, str]:
    if name(page) in ABOUT_A_WORLD:
        world: LiveWorker = request.getfixturevalue("world")
        shutil.copy(world.process.config, folder / "driftbus.yaml")
        churn = world.json("/api/streams/churn")
        return {
            "DRIFTBUS_CONFIG": "driftbus.yaml",
            "DRIFTBUS_HTTP__PORT": str(world.port),
            "STAGE_REQUEST_ID": churn["requests"][-1]["request_id"],
            "STAGE_EPISODE": churn["view"]["open_episodes"][0]["episode_id"],
            "STAGE_STREAM": "churn",
        }
    return {
        "DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS": request.getfixturevalue("kafka_bootstrap"),
        # Other tests have their topics on the same broker.
        "DRIFTBUS_TOPIC_PREFIX": f"docs-{page.stem.lower()}.",
        "DRIFTBUS_GROUP": f"{page.stem.lower()}-{folder.parent.name[-8:]}",
    }


@pytest.mark.kafka
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("page", TO_RUN, ids=name)
def test_commands_run_as_printed(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with stage(tmp_path, surroundings(page, tmp_path, request)) as environ:
        play(tmp_path, environ, [block for block in blocks(page) if block.not_run is None])


def test_what_does_not_run_says_why_and_is_the_exception() -> None:
    found = [(name(page), block) for page in pages() for block in blocks(page)]
    for page, block in found:
        if block.not_run is not None:
            assert len(block.not_run.split()) >= 2, (
                f"{page} line {block.line}: {block.not_run!r} is no reason"
            )
    assert sum(block.not_run is not None for _, block in found) * 3 < len(found)


@cache
def help_of(words: tuple[str, ...]) -> str:
    """What the command line says about this command; empty where there is no such command."""
    said = in_process(*words, "--help")
    return said.stdout if said.returncode == 0 else ""


def named(words: list[str]) -> tuple[str, list[str]]:
    """The help of the command that these words name, and what is left of them."""
    assert help_of((words[0],)), f"there is no command {words[0]}"
    if words[0] in ("dead-letters", "topics") and len(words) > 1 and help_of((words[0], words[1])):
        return help_of((words[0], words[1])), words[2:]
    return help_of((words[0],)), words[1:]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_commands_within_sentences_exist(page: Path) -> None:
    targets = (ROOT / "Makefile").read_text()
    for said in inline(page):
        program, *words = [word for word in said.replace("…", "").split() if not ASSIGNMENT.match(word)]
        if program == "make":
            assert all(f"\n{word}:" in targets for word in words if word.isalpha() and word.islower()), said
        elif words and not words[0].startswith("-"):
            known, rest = named(words)
            options = [word.strip("[]`") for word in rest if re.match(r"\[?--\w", word)]
            assert all(option in known for option in options), said


@pytest.mark.parametrize("page", pages(), ids=name)
def test_python_compiles_and_yaml_reads(page: Path) -> None:
    for language, text in re.findall(
        r"^```(python|yaml)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        if language == "python":
            compile(text, name(page), "exec")
        else:
            yaml.safe_load(text)


def test_a_link_that_leads_nowhere_fails_the_site(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/README.md").write_text("# Here\n[there](nowhere.md), [below](#nothing)\n")
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    config |= {"docs_dir": "docs", "site_dir": "site", "nav": ["README.md"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "#nothing" in done.stderr


def test_the_site_builds_with_every_link_checked() -> None:
    done = subprocess.run([sys.executable, "tools/site.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    built = (ROOT / "build/site/docs/quickstart.html").read_text()
    assert "What it would have found" in built
    assert 'src="http' not in built, "the site works without a network"
    # Where dashboards lead from an alert, while the site is served here.
    fleet = (ROOT / "deploy/grafana/dashboards/driftbus.json").read_text()
    assert "${runbooks}/${__value.raw}.html" in fleet
    (usual,) = set(re.findall(r"http://localhost:8000/([\w/]+)", fleet))
    for page in (ROOT / "docs/runbooks").glob("Driftbus*.md"):
        assert (ROOT / "build/site" / usual / f"{page.stem}.html").exists()
