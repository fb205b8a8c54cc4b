"""Links of the pages lead somewhere, and files that pages, recipes and comments name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")])
NAMED = [*PAGES, *sorted(ROOT.glob("configs/*.toml")), *sorted(ROOT.glob("barlowtf/**/*.py"))]


def name(path):
    return str(path.relative_to(ROOT))


def anchors(page):
    """Returns the anchors of a page's headings as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page):
    """Returns the relative links that do not resolve, with their anchors."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Data: 2 `sets`\n[a](#data-2-sets) [b](page.md#data) [c](none.md) [d](https://none) [e](page.md)")
    assert broken_links(page) == ["page.md#data", "none.md"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page):
    assert broken_links(page) == []


@pytest.mark.parametrize("path", NAMED, ids=name)
def test_files_that_are_named_exist(path):
    named = re.compile(r"\b(?:benchmarks|tests|docs|barlowtf)/[\w/.-]+\.(?:py|json|md|npz|txt|toml)\b")
    assert [each for each in named.findall(path.read_text()) if not (ROOT / each).exists()] == []


def test_every_result_is_named_by_a_page_or_recipe():
    text = "".join(path.read_text() for path in NAMED)
    results = [name(path) for path in ROOT.glob("benchmarks/results/*.json") if not path.stem.endswith("-quick")]
    assert [each for each in results if Path(each).name not in text] == []
