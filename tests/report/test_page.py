"""The report page: one file, nothing from elsewhere, untrusted text escaped."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from hero_rl.report import Section, Table, render_page, write_page
from hero_rl.report.figures import Curve, Panel, curve_panels, interval_rows, save_png, svg

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"


def page(**changes):
    curves = [
        Curve(label=name, steps=[0, 50, 100], values_SN=np.array([[0.4, a, b], [0.4, a + 0.02, b + 0.05]]))
        for name, a, b in (("hero", 0.5, 0.6), ("rm_only", 0.3, 0.1))
    ]
    figure = svg(
        curve_panels([Panel(title="accuracy", curves=curves, percent=True), Panel(title="score", curves=curves)]), name="c"
    )
    table = Table(header=["rule", "accuracy"], rows=[[HOSTILE, 0.61234], ["b", None]], note=HOSTILE)
    sections = [
        Section(heading="Curves", figure=figure, caption="mean and range"),
        Section(heading="Numbers", table=table),
        Section(heading="Differences", figure=svg(interval_rows({"hero - rm": (0.5, 0.4, 0.6)}, x_label="points"), name="d")),
    ]
    return {"title": "Lab " + HOSTILE, "lead": HOSTILE, "sections": sections, "footer": "hero lab --seed 0", **changes}


def test_untrusted_text_is_escaped_everywhere():
    html = render_page(**page())
    assert "<script>alert" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 4
    assert "{{ 7*7 }}" in html


def test_the_page_needs_nothing_from_elsewhere():
    html = render_page(**page())
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#][^"']*)""", html)
    assert links == []
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_the_page_is_well_formed_and_figures_do_not_share_ids():
    html = render_page(**page())
    referred = set(re.findall(r"""url\(#([^)]+)\)|href="#([^"]+)""", html))
    for name in {first or second for first, second in referred}:
        assert html.count(f'id="{name}"') == 1

    class Balanced(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br", "hr", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_startendtag(self, tag, attrs):
            pass

    parser = Balanced()
    parser.feed(html)
    assert parser.open == []


def test_figures_are_svg_and_png(tmp_path):
    figure = interval_rows({"a": (0.1, 0.0, 0.2), "b": (-0.1, -0.2, -0.05)}, x_label="difference")
    assert ElementTree.fromstring(svg(figure, name="x")).tag.endswith("svg")
    assert save_png(figure, tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_is_written_whole_and_leaves_no_partial_file(tmp_path):
    path = write_page(tmp_path / "report.html", **page())
    assert path.read_text().rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_are_right_aligned_and_missing_ones_a_dash():
    html = render_page(**page())
    assert '<td class="number">0.612</td>' in html
    assert "<td>–</td>" in html
