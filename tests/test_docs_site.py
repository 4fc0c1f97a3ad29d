"""The documentation: every page is in the menu, and its commands exist. `make docs` checks links, anchors and names."""

import re

from helpers.commands import hero
from helpers.places import DOCS, ROOT
from hero_rl.view.store import GROUP_KINDS, KINDS

CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
MENU = re.findall(r"^ +- (?:[^\n]*: )?(\S+\.md)$", CONFIG.split("\nnav:\n")[1], re.MULTILINE)


def test_every_page_is_in_the_menu_once():
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(MENU) == sorted([*pages, "options.md"])  # options.md is made of the commands while the site is built


def test_a_user_has_twelve_pages_and_20_000_words_at_most():
    pages = re.findall(r"(\S+\.md)$", CONFIG.split("\nnav:\n")[1].split("  - Reference:")[0], re.MULTILINE)
    assert len(pages) <= 12
    assert sum(len((DOCS / page).read_text(encoding="utf-8").split()) for page in pages) <= 20_000


def test_the_filters_of_the_viewer_are_those_of_the_page():
    page = (DOCS / "audit.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| [a-z][^|]* \| `([a-z_]+)` \| ", page, re.MULTILINE) == [*KINDS, *GROUP_KINDS]


def test_the_pages_fetch_nothing():
    assert re.search(r"^  font: false$", CONFIG, re.MULTILINE)
    assert "http" not in re.sub(r"^ *#.*$", "", CONFIG, flags=re.MULTILINE)


COMMANDS = sorted(
    {
        (page.name, line)
        for page in DOCS.glob("*.md")
        for line in re.findall(r"^    (hero [a-z].*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        if page.name != "log.md"
    }
)


GROUPS = {
    "data": ("prepare", "split", "cold-start"), "eval": ("run", "compare"), "lab": ("study",), "models": ("get",),
    "recipe": ("verl",), "reward": ("show", "init"), "rm": ("train", "eval"), "verifier": ("train", "eval"),
}  # fmt: skip


def test_the_commands_of_the_pages_have_the_options_named():
    assert len(COMMANDS) > 60
    texts: dict[tuple[str, ...], str] = {}
    for page, line in COMMANDS:
        words = line.split("#")[0].split()
        command = tuple(words[1 : 2 + (words[1] in GROUPS and words[2:3] != [] and words[2] in GROUPS[words[1]])])
        if command not in texts:
            done = hero(*command, "--help")
            assert done.returncode == 0, (page, line, done.stderr)
            texts[command] = done.stdout
        for option in re.findall(r"(?<= )--?[a-z][a-z-]*", line.split("#")[0]):
            assert option in texts[command], (page, line)
