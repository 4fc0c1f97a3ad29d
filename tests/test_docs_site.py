"""The documentation site: every page is in its menu. `make docs` checks links, anchors and names."""

import re

from helpers.places import DOCS, ROOT

CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
MENU = re.findall(r"^ +- (?:[^\n]*: )?(\S+\.md)$", CONFIG.split("\nnav:\n")[1], re.MULTILINE)


def test_every_page_is_in_the_menu_once():
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(MENU) == sorted([*pages, "options.md"])  # options.md is made of the commands while the site is built


def test_the_pages_fetch_nothing():
    assert re.search(r"^  font: false$", CONFIG, re.MULTILINE)
    assert "http" not in re.sub(r"^ *#.*$", "", CONFIG, flags=re.MULTILINE)
