"""The report in a real browser: no errors, nothing wider than the window, drawn, light and dark, sorts on a click."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from hero_rl.cli import main
from hero_rl.report.palette import PAGE, RULES, SOFT, TEXT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

PROBE = """<script>
window.problems = [];
addEventListener("error", event => problems.push(String(event.message)));
addEventListener("securitypolicyviolation", event => problems.push("blocked " + event.violatedDirective));
addEventListener("load", () => {
  const table = document.querySelector("table"), button = table.querySelector("thead button");
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
  button.click(); const down = column(); button.click(); const up = column();
  const blocks = [...document.querySelectorAll("main > *, main > section > *")];
  const wide = blocks.filter(block => block.getBoundingClientRect().right > innerWidth + 1);
  const styles = [...document.querySelectorAll("figure svg :is(text, path, use)")].map(element => getComputedStyle(element));
  const drawn = styles.flatMap(style => [style.fill, style.stroke]);
  const found = {problems, width: document.documentElement.scrollWidth, inner: innerWidth, down, up,
    wide: wide.map(block => block.outerHTML.slice(0, 80)),
    drawn: [...new Set(drawn)], background: getComputedStyle(document.body).backgroundColor};
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = JSON.stringify(found); document.body.append(out);
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    generator = random.Random(0)
    with (folder / "rollouts.jsonl").open("w") as file:
        for prompt in range(60):
            for sample in range(6):
                right = generator.random() < prompt / 60
                row = {
                    "prompt_id": f"p{prompt}", "problem": "<b>x</b> " * 30, "reference": "1", "step": sample,
                    "response": "long" * 120 + f"<img src=x onerror=alert({sample})>", "correct": int(right),
                    "verdict": int(right and generator.random() < 0.6), "rm_score": generator.gauss(right, 1.0),
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    assert main(["audit", str(folder / "rollouts.jsonl"), "-o", str(folder / "out")]) == 0
    return folder / "out/report.html"


def browse(page: Path, folder: Path, *, width: int, dark: bool, shot: Path | None = None) -> str:
    """The page's DOM after it has loaded; with ``shot``, a picture of it instead."""
    assert BROWSER is not None
    switches = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}", f"--window-size={width},2400",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        f"--screenshot={shot}" if shot else "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run([BROWSER, *switches, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (500, False), (1200, True)])
def test_the_page_fits_and_complains_of_nothing(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    probed = tmp_path / "probed.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("<title>") == 1
    inside = PROBE.removeprefix("<script>").removesuffix("</script>").encode()
    allowed = f"script-src 'sha256-{base64.b64encode(hashlib.sha256(inside).digest()).decode()}'"
    text = text.replace("script-src", allowed, 1).replace("<title>", f"<script>problems = 0</script>{PROBE}<title>")
    probed.write_text(text, encoding="utf-8")
    dom = browse(probed, tmp_path, width=width, dark=dark)
    match = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert match, dom[-500:]
    found = json.loads(match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert found["problems"] == ["blocked script-src-elem"]  # the script in front of the title, which is not the page's
    assert found["inner"] <= width
    assert found["width"] <= found["inner"], found["wide"]
    assert found["wide"] == []
    assert found["up"] == found["down"][::-1] != found["down"]
    light = sum(map(int, re.findall(r"\d+", found["background"])[:3])) / 3 > 128
    assert light != dark
    inks = [PAGE, TEXT, SOFT, *(ink for ink, _ in RULES.values())]
    rgb = {f"rgb({', '.join(map(str, bytes.fromhex(ink[dark][1:])))})" for ink in inks}
    assert len(found["drawn"]) > 8
    assert set(found["drawn"]) <= rgb | {"none", "rgb(0, 0, 0)"}  # black: of elements that hold others


def test_a_picture_of_the_page_is_not_blank(page: Path, tmp_path: Path) -> None:
    from matplotlib import image

    browse(page, tmp_path, width=1200, dark=False, shot=tmp_path / "shot.png")
    pixels = image.imread(tmp_path / "shot.png")
    assert pixels.shape[1] == 1200
    ink = (np.abs(pixels[..., :3] - pixels[0, 0, :3]).max(axis=2) > 0.2).mean(axis=1)
    assert (ink > 0).mean() > 0.4  # rows of pixels with something on them
