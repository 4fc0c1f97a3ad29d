"""Numbers -> figures -> one self-contained HTML file: no network, no scripts from elsewhere, untrusted text escaped."""

from hero_rl.report.page import Link, Section, Table, interval, json_values, render_page, save_figures, write_folder, write_page

__all__ = ["Link", "Section", "Table", "interval", "json_values", "render_page", "save_figures", "write_folder", "write_page"]
