"""The documentation runs: every block of Python in the README and in docs/, in order, a process for each document."""

from __future__ import annotations

import ast
import concurrent.futures
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import support_docs

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
TRANSLATIONS = sorted((ROOT / "docs").glob("*.*.md"))
"""tutorial.zh.md is tutorial.md in Chinese."""


def name(path):
    return path.relative_to(ROOT).as_posix()


def read(path):
    return path.read_text(encoding="utf-8")


def process(script, argument, folder):
    """A script in an interpreter of its own, where TensorFlow has not been used before."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, str(script), str(argument)], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def run(path, folder):
    return process(support_docs.__file__, path, folder)


RUNNING = [one for one in DOCUMENTS if list(support_docs.examples(read(one)))]
FIGURES = ROOT / "docs" / "figures.py"
DRAWS_WITH = ("matplotlib", "PIL", "sklearn", "rich", "tensorflow", "keras")


def absent(modules):
    return sorted(one for one in modules if importlib.util.find_spec(one) is None)


@pytest.fixture(scope="module")
def started(request, tmp_path_factory):
    """The processes of the tests that were selected, two at a time: most of their time goes into importing TensorFlow."""
    jobs, names = {}, {getattr(item, "originalname", None) for item in request.session.items}
    if "test_pictures_are_what_their_script_draws" in names and not absent(DRAWS_WITH):
        folder = tmp_path_factory.mktemp("figures")
        jobs[FIGURES] = (FIGURES, folder, folder)
    for item in request.session.items:
        path = getattr(item, "callspec", None) and item.callspec.params.get("path")
        if getattr(item, "originalname", None) == "test_every_block_of_python_runs" and not absent(
            support_docs.imports(read(path))
        ):
            jobs[path] = (support_docs.__file__, path, tmp_path_factory.mktemp("document"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield {key: (pool.submit(process, *job), job[2]) for key, job in jobs.items()}


@pytest.mark.parametrize("path", RUNNING, ids=name)
def test_every_block_of_python_runs(path, started):
    if missing := absent(support_docs.imports(read(path))):
        pytest.skip(f"the document imports what is not installed: {', '.join(missing)}")
    done = started[path][0].result()
    assert done.returncode == 0, done.stderr


def test_a_document_that_is_wrong_fails(tmp_path):
    path = tmp_path / "wrong.md"
    path.write_text("Text\n\n```python\nx = 1\nprint(x + 1)\n```\n\n```text\n2\n```\n")
    assert run(path, tmp_path).returncode == 0
    path.write_text(read(path).replace("2\n", "3\n"))
    done = run(path, tmp_path)
    assert done.returncode != 0
    assert f"{path}:4: the block prints\n2" in done.stderr
    path.write_text("Text\n\n```python\nx = 1\n```\n\nText\n\n```python\nx += 1\nassert x == 3\n```\n")
    done = run(path, tmp_path)
    assert done.returncode != 0
    assert "line 11" in done.stderr, "not the document's own line"


@pytest.mark.parametrize("path", TRANSLATIONS, ids=name)
def test_a_translation_has_the_same_code(path):
    """But for comments; and it says that the same is printed."""
    original = path.with_name(path.name.split(".")[0] + ".md")
    ours, theirs = (list(support_docs.examples(read(one))) for one in (path, original))
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        place = f"{name(path)}:{one.code.line} and {name(original)}:{other.code.line}"
        assert ast.dump(ast.parse(one.code.text)) == ast.dump(ast.parse(other.code.text)), place
        assert one.prints == other.prints, place
    pictures = [re.findall(r"!\[.*?\]\((.*?)\)", read(one)) for one in (path, original)]
    assert pictures[0] == pictures[1]


def headings(text):
    """The anchors that a document has, as GitHub makes them."""
    plain = support_docs.FENCE.sub("", text)
    titles = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", support_docs.FENCE.sub("", read(path))):
        target = "".join(target)
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{name(path)}: {target}"
        assert not anchor or anchor in headings(read(there)), f"{name(path)}: {target}"


@pytest.mark.parametrize("path", [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"], ids=name)
def test_files_that_are_named_exist(path):
    """By the end of their path: what lies around it is the paragraph's."""
    tops = [ROOT / top for top in ("python", "rust", "tests", "tools", "docs")]
    tree = [f"/{name(one)}" for top in tops for one in (top, *top.rglob("*"))]
    named = re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|pyi|rs)|(?:[\w-]+/)+)`", read(path))
    assert len(named) > 10
    missing = [one for one in named if not any(there.endswith(f"/{one.rstrip('/')}") for there in tree)]
    assert not missing


def close(one, other):
    """Whether two pictures show the same; fonts, and weights that were trained on another machine, may differ."""
    from PIL import Image

    small = []
    for path in (one, other):
        with Image.open(path) as file:
            small.append(np.asarray(file.convert("RGB").resize((48, 48), Image.Resampling.BOX), np.float32))
    return np.abs(small[0] - small[1]).mean() < 5


def test_pictures_are_what_their_script_draws(started):
    if missing := absent(DRAWS_WITH):
        pytest.skip(f"docs/figures.py draws with what is not installed: {', '.join(missing)}")
    running, folder = started[FIGURES]
    done = running.result()
    assert done.returncode == 0, done.stderr
    committed = {path.name: path for path in (ROOT / "docs" / "images").glob("*.png")}
    drawn = {path.name: path for path in folder.glob("*.png")}
    assert committed.keys() == drawn.keys()
    for picture, path in committed.items():
        assert path.stat().st_size < 60_000, picture
        assert close(path, drawn[picture]), f"{picture} is not what docs/figures.py draws"
    assert not close(committed["window.png"], drawn["flip.png"]), "no picture would be told from another"
    shown = set(re.findall(r"images/(\S+\.png)", "".join(map(read, DOCUMENTS))))
    assert shown == committed.keys(), "a picture that no document shows"


COMMANDS = [
    (path, line)
    for path in DOCUMENTS
    for block in support_docs.blocks(read(path))
    if block.language in ("", "sh")
    for line in block.text.splitlines()
    if line.startswith("ferroconv ")
]


@pytest.mark.parametrize("path, line", COMMANDS, ids=[f"{name(path)}: {line}" for path, line in COMMANDS])
def test_commands_are_known(path, line, tmp_path, monkeypatch):
    """Each command line of a document is taken with its arguments and options; it is not run."""
    click = pytest.importorskip("click", reason="the [cli] extra is not installed")
    from ferroconv._cli.commands import command

    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[1:]
    for word in words:
        if pathlib.Path(word).suffix:  # files that the command would find
            pathlib.Path(word).parent.mkdir(parents=True, exist_ok=True)
            pathlib.Path(word).touch()
    while words and isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    if not isinstance(command, click.Group):
        command.make_context("ferroconv", words)
