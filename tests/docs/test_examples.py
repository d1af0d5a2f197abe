"""Every Python example of the README and the documentation runs, and every link leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pages import PAGES, ROOT, blocks, links

NEEDED = {
    "docs/how-to/mounts.md": (
        "httpx",
        "httpx2",
        "requests",
        "urllib3",
        "aiohttp",
        "grpc",
        "psycopg",
        "asyncpg",
        "redis",
        "paho",
    )
}
PARTNER = "api.partner.example"  # stands in the pages; the test puts a server on loopback in its place
WITH_EXAMPLES = [page for page in PAGES if any(block.is_run for block in blocks(page))]


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name_of)
def test_every_python_example_of_a_page_runs_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for library in NEEDED.get(name_of(page), ()):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    calls_partner = PARTNER in page.read_text(encoding="utf-8")
    partner = request.getfixturevalue("partner") if calls_partner else PARTNER
    # Not "__main__": what an example puts under that name starts a server that never ends.
    namespace: dict[str, object] = {"__name__": "example"}
    for block in blocks(page):
        code = block.code.replace(PARTNER, partner)
        if block.file is not None:
            Path(block.file).write_text(code, encoding="utf-8")
        if block.is_run:
            padding = "\n" * (block.line - 1)  # so that a traceback names the page's own line
            exec(compile(padding + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_that_is_not_run_still_compiles_and_says_why(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python" and not block.is_run:
            assert len(block.mark) > len("not run: ")
            compile(block.code, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for link in links(page):
        target = page.parent / link.partition("#")[0] if not link.startswith("#") else page
        assert target.exists(), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_names_its_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"python", "sh", "toml", "text", "json"}


def test_the_readme_opens_with_the_two_commands() -> None:
    commands = [block.code for block in blocks(ROOT / "README.md") if block.language == "sh"][:2]
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[demo]' && .venv/bin/mtlskit demo\n",
        "python3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox -s tests\n",
    ]


def test_the_reader_of_pages_sees_marks_files_and_links(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- file: a.py -->\n```python\n1\n```\n\n<!-- not run: no -->\n```python\n2\n```\n[x](y.md)\n")
    assert [(block.file, block.is_run, block.code, block.line) for block in blocks(page)] == [
        ("a.py", True, "1\n", 3),
        (None, False, "2\n", 8),
    ]
    assert links(page) == ["y.md"]
