"""The page in a real Chromium: filters, rules, mathematics, sizes, and text that tries to run."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.view_rollouts import rows, write
from hero_rl.view.page import self_contained
from hero_rl.view.rules import Rules
from hero_rl.view.store import Query, Store

uvicorn = pytest.importorskip("uvicorn")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("duckdb")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (apt-get install chromium)", allow_module_level=True)

ATTACKS = [
    "<script>window.hacked = 1</script>", "<img src=x onerror='window.hacked = 2'>",
    "$\\href{javascript:window.hacked=3}{click}$",
    "$\\htmlClass{x}{y}$ <svg onload=window.hacked=4>",
    "$$\\url{javascript:window.hacked=5}$$ $\\includegraphics{https://example.com/x.png}$",
    "$\\def\\a{\\a\\a}\\a$ </script></textarea>", "$\\htmlStyle{position:fixed}{z}$",
]  # fmt: skip


def table() -> list[dict[str, Any]]:
    found = rows()
    found[0] |= {"problem": "For $5 or $6, solve $x^2 = 4$ and\n$$\\frac{x}{2} = 1.$$", "reference": "\\frac{4}{2}"}
    found[0]["problem"] += " Then \\boxed{\\text{three dozen and four}}."
    for row in found[1:4] + found[7:]:
        row["problem"] = found[0]["problem"]
    for number, attack in enumerate(ATTACKS):
        texts = dict.fromkeys(("problem", "reference", "reason", "response"), attack)
        numbers = {"step": 3, "verdict": number % 2, "rm_score": float(number), "step_scores": [0.5]}
        found.append({**found[4], **texts, **numbers, "prompt_id": "evil", "steps": [attack]})
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    one = Store([write(tmp_path_factory.mktemp("view") / "rollouts.jsonl", table())])
    yield one
    one.close()


@pytest.fixture(scope="module")
def url(store: Store) -> Iterator[str]:
    from hero_rl.engines.service.server import listen, url_of
    from hero_rl.view.app import create_app

    sock = listen("127.0.0.1", 0)
    app = create_app(store, Rules(store), title="a test", token="secret")
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield url_of(sock)
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


class Opened:
    """A page and everything that it complained about."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("#list li")

    def close(self) -> None:
        self.page.close()
        assert self.complaints == []


@pytest.fixture
def opened(browser: Any, url: str) -> Iterator[Opened]:
    one = Opened(browser, f"{url}/#token=secret")
    yield one
    one.close()


def test_filter_rule_and_slider(opened: Opened) -> None:
    page, expect = opened.page, playwright.expect
    expect(page.locator("#total")).to_have_text("4 groups")
    assert "secret" not in page.url
    page.select_option("#kind", "abstained")
    expect(page.locator("#total")).to_have_text("1 group")
    expect(page.locator(".chip")).to_have_text(["✓ accepted", "✗ rejected", "✗ rejected", "? abstained"])
    expect(page.locator(".card.hit .chip")).to_have_text(["? abstained"])
    page.select_option("#rule", "verifier_only")
    page.select_option("#against", "hero")
    slider = page.locator("#against-alpha")
    slider.evaluate(
        "node => { node.value = '0.3'; node.dispatchEvent(new Event('input')); node.dispatchEvent(new Event('change')); }"
    )
    rewards = page.locator(".card:nth-of-type(2) .bar:has-text('hero') .value").first
    expect(rewards).to_have_text("0.3")  # the best of the rejected is alpha above 0
    expect(page.locator(".plot path")).to_have_count(8)


def test_keyboard(opened: Opened) -> None:
    page, expect = opened.page, playwright.expect
    current = page.locator("#list [aria-current=true] .facts")
    expect(current).to_contain_text("step 1")
    page.keyboard.press("/")
    page.keyboard.type("two")
    expect(page.locator("#total")).to_have_text("1 group")
    expect(current).to_contain_text("2 of 4 match")
    page.keyboard.press("Escape")
    page.fill("#text", "")
    expect(page.locator("#total")).to_have_text("4 groups")
    page.locator("#text").blur()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("#list li:nth-child(4) button")).to_have_attribute("aria-current", "true")
    page.keyboard.press("k")
    expect(page.locator("#list li:nth-child(3) button")).to_have_attribute("aria-current", "true")
    expect(page.locator("#detail > .facts")).to_have_text("a · step 2")  # it is there
    page.keyboard.press("ArrowLeft")  # the same prompt at step 1
    expect(page.locator(".timeline [aria-current=true]")).to_have_text("step 1: 1/4")


def test_a_fragment_shows_what_it_says_and_follows_what_is_shown(opened: Opened) -> None:
    page, expect = opened.page, playwright.expect
    expect(page.locator("#total")).to_have_text("4 groups")  # until then the page sets the fragment itself
    page.evaluate("location.hash = 'step=2&filter=mixed&group=0&response=3'")
    expect(page.locator("#total")).to_have_text("1 group")  # of step 2
    expect(page.locator("#detail > .facts")).to_have_text("a · step 1")
    expect(page.locator("#response-3")).to_be_in_viewport()
    page.wait_for_url("**/#filter=mixed&step=2&group=0")
    page.locator("#list button").click()
    expect(page.locator("#detail > .facts")).to_have_text("a · step 2")
    page.fill("#step", "")
    page.fill("#text", "two")
    page.wait_for_url("**/#search=two&filter=mixed&group=*")
    page.evaluate("location.hash = 'group=99'")
    expect(page.locator("#message")).to_contain_text("group 99: there is none")
    expect(page.locator("#total")).to_have_text("4 groups")
    assert [complaint for complaint in opened.complaints if "400" not in complaint] == []
    opened.complaints.clear()


def test_what_was_compared_is_found_out_when_it_is_asked_for(opened: Opened) -> None:
    opened.page.locator("#response-1 .compare").click()
    playwright.expect(opened.page.locator("#response-1 .compared")).to_contain_text("math says")


def test_mathematics_and_the_text_as_written(opened: Opened) -> None:
    page, expect = opened.page, playwright.expect
    page.locator("#list li:nth-child(1) button").click()
    expect(page.locator("#detail > .text .katex-display")).to_have_count(1)
    expect(page.locator("#detail > .text .katex")).to_have_count(3)  # $5 and $6 are none
    expect(page.locator("#detail > .text .katex .text")).to_have_css("white-space", "nowrap")
    assert "null" not in page.locator("#detail").inner_text()
    expect(page.locator(".reference .mfrac")).to_have_count(1)
    page.wait_for_function("document.fonts.check('16px KaTeX_Math')")
    page.keyboard.press("m")
    expect(page.locator(".katex")).to_have_count(0)
    expect(page.locator("#detail > .text")).to_contain_text("$$\\frac{x}{2} = 1.$$")


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("$" + r"\sqrt{" * 200 + "1" + "}" * 200 + "$", 0),  # a tab dies of it
        ("$" + r"\overline" * 200 + "x$", 0),
        ("$" + "x+" * 20_000 + "x$", 0),
        (r"$\def\a{" + "x" * 1000 + "}" + r"\a" * 150 + "$", 0),
        ("$x$ " * 20_000, 1000),
    ],
    ids=["deep", "deep without braces", "long", "grows", "many"],
)
def test_mathematics_beyond_measure_stays_as_written(opened: Opened, text: str, most: int) -> None:
    count, shown = opened.page.evaluate(
        """text => { const node = el("div", { textContent: text }); $("detail").append(node); typeset(node);
        return [node.querySelectorAll(".katex").length, node.getBoundingClientRect().height]; }""",
        text,
    )
    assert (count > 0, shown > 0) == (most > 0, True)
    assert count <= most


@pytest.mark.parametrize("kind", ["served", "self-contained"])
def test_text_of_a_model_never_runs(kind: str, browser: Any, url: str, store: Store, tmp_path: Path) -> None:
    address = f"{url}/#token=secret"
    if kind != "served":
        (tmp_path / "page.html").write_text(self_contained(store, Rules(store), Query(), title="a test"))
        address = (tmp_path / "page.html").as_uri()
    one = Opened(browser, address)
    page = one.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.fill("#text", "hacked")
    playwright.expect(page.locator("#total")).to_have_text("1 group")
    playwright.expect(page.locator(".card")).to_have_count(len(ATTACKS))
    for card in page.locator(".card").all():
        card.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert (
        page.locator(
            "#detail img, #detail script, #detail a, #detail [onerror], #detail svg:not(.plot):not(.katex svg)"
        ).count()
        == 0
    )
    assert page.locator("#detail").inner_text().count("<script>window.hacked = 1</script>") >= 3
    assert not [address for address in asked if "example.com" in address]
    # nor does a script that somebody managed to add
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 9'; document.body.append(s); }"
    )
    assert page.evaluate("window.hacked") is None
    assert all("Content Security Policy" in complaint for complaint in one.complaints)
    assert len(one.complaints) == 1
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width_and_contrast(scheme: str, browser: Any, url: str) -> None:
    one = Opened(browser, f"{url}/#token=secret", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = one.page
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator("#list li:nth-child(1) button").click()
    playwright.expect(page.locator(".card")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("nav").is_hidden()
    assert page.evaluate(CONTRAST) == []
    page.locator(".back").click()
    assert page.locator("nav").is_visible()
    one.close()


CONTRAST = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[0-9.]+/g).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => { let at = node, color;
    do { color = getComputedStyle(at).backgroundColor; at = at.parentElement; }
    while (at && /rgba[(].*, 0[)]/.test(color)); return color; };
  const low = [];
  for (const node of document.querySelectorAll('#detail *')) {
    const words = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!words || node.closest('.katex, svg')) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${node.tagName} ${node.className} ${(a + 0.05) / (b + 0.05)}`);
  }
  return low;
}"""


def test_without_the_token_the_page_says_so(browser: Any, url: str) -> None:
    page = browser.new_page()
    page.goto(url)
    playwright.expect(page.locator("#message")).to_contain_text("it has the token")
    page.close()
