"""Numbers -> figures -> one self-contained HTML file: no network, no scripts from elsewhere, untrusted text escaped."""

from hero_rl.report.page import Section, Table, render_page, write_page

__all__ = ["Section", "Table", "render_page", "write_page"]
