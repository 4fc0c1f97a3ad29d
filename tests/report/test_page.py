"""The report page: one file, nothing from elsewhere, untrusted text escaped."""

import base64
import hashlib
import itertools
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.text import Text

from hero_rl.errors import InputError
from hero_rl.report import Section, Table, render_page, write_folder, write_page
from hero_rl.report.figures import Curve, Histogram, Panel, curve_panels, histograms, interval_rows, svg

BROKEN = r"$\frac{1}$"
"""At which matplotlib's TeX raises."""
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
    script = html.partition("<script>")[2].partition("</script>")[0]
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}';" in html


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


def test_a_folder_has_each_figure_as_png_svg_and_pdf_and_its_numbers_as_csv(tmp_path):
    curves = [Curve(label="hero", steps=[0, 50], values_SN=np.array([[0.25, 0.5], [0.75, 1.0]]))]
    sections = [
        Section(heading="a", name="curves", figure=curve_panels([Panel(title=BROKEN, curves=curves)])),
        Section(heading="b", name="rows", figure=interval_rows({BROKEN: (0.1, 0.0, 0.2)}, x_label="difference")),
        Section(heading="c", name="bars", figure=histograms([Histogram(title=BROKEN, x_label="x", bins=2, limits=(0, 1),
                                                                       values={"": np.array([0.1, 0.9, 0.8, np.nan])})])),
    ]  # fmt: skip
    html = write_folder(tmp_path, "t", "lead", sections, {}).read_text()
    for name in ("curves", "rows", "bars"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        text = (tmp_path / f"{name}.svg").read_text()
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert text in html
        assert BROKEN in text
    assert (tmp_path / "curves.csv").read_text().splitlines() == [
        "panel,curve,training step,mean,lowest,highest", f"{BROKEN},hero,0,0.5,0.25,0.75", f"{BROKEN},hero,50,0.75,0.5,1.0",
    ]  # fmt: skip
    assert (tmp_path / "rows.csv").read_text() == f"row,difference,low,high\n{BROKEN},0.1,0.0,0.2\n"
    assert (tmp_path / "bars.csv").read_text().splitlines()[1:] == [f"{BROKEN},x,0.0,0.5,1", f"{BROKEN},x,0.5,1.0,2"]


def test_an_interval_that_goes_beyond_the_plot_ends_there_and_says_why():
    rows = {"hero:a": (0.1, 0.0, 0.2), "hero:b": (0.0, -0.1, 0.1), "hero:c": (0.05, -0.1, 0.2), "hero:wide": (0.1, -9.0, 9.2)}
    figure = interval_rows(rows, x_label="difference").figure
    (axes,) = figure.axes
    assert max(map(abs, axes.get_xlim())) < 1.6  # ten times the median reach of 0.125 beside the point, and a margin
    assert [text.get_text() for text in axes.texts] == ["too few seeds"]
    assert [line.get_marker() for line in axes.get_lines() if line.get_marker() in ("<", ">")] == ["<", ">"]
    few = interval_rows({"a": (0.1, -0.6, 0.8)}, x_label="difference", limit=0.5).figure.axes[0]
    assert few.get_xlim()[1] < 0.7


@pytest.mark.filterwarnings("error")
def test_nothing_to_draw_is_said_and_a_very_long_name_leaves_room_for_its_curve():
    for draw in (lambda: curve_panels([]), lambda: interval_rows({}, x_label="difference"), lambda: histograms([])):
        with pytest.raises(InputError, match="nothing to draw"):
            draw()
    curve = Curve(label="x" * 300, steps=[0, 1], values_SN=np.ones((1, 2)))
    curve_panels([Panel(title="t", curves=[curve])]).figure.draw_without_rendering()  # or it warns of axes without size


def test_names_stand_at_the_ends_of_their_curves_and_do_not_overlap():
    ends = {"hero": 0.5, "verifier_only": 0.5001, "rm_only": 0.4999, "naive_sum:rule_weight=0.1": 0.1, "hero_group_std": 0.9}
    curves = [Curve(label=label, steps=[0, 100], values_SN=np.array([[0.3, end]])) for label, end in ends.items()]
    figure = curve_panels([Panel(title="accuracy " * 12, curves=curves)]).figure
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = sorted((Text.get_window_extent(text) for text in axes.texts), key=lambda box: box.y0)  # without the arrows
    assert len(boxes) == len(ends)
    assert all(below.y1 <= above.y0 + 1 for below, above in itertools.pairwise(boxes))
    assert axes.get_title(loc="left").replace("\n", " ") == ("accuracy " * 12).strip()  # wrapped, not cut
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_a_page_is_written_whole_and_leaves_no_partial_file(tmp_path):
    path = write_page(tmp_path / "report.html", **page())
    assert path.read_text().rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_are_right_aligned_and_missing_ones_a_dash():
    html = render_page(**page())
    assert '<td class="number">0.612</td>' in html
    assert "<td>–</td>" in html
