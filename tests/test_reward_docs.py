"""`docs/commands.md` is true: its examples load and run; `docs/settings.md` has the tables of the code.

To write the tables anew: ``python tests/test_reward_docs.py``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_type_hints

import pytest

from helpers.places import DOCS
from hero_rl.cli import main
from hero_rl.cli.reward import KEYS
from hero_rl.cli.serve import ServiceOptions
from hero_rl.config import load_reward
from hero_rl.config_checks import DEFAULTS, RULE_KEYS, SCORER_KEYS, VERIFIER_KEYS
from hero_rl.imports import Setting, describe, import_object
from hero_rl.part_names import JUDGES, REWARD_MODELS, VERIFIERS, Kind
from hero_rl.rewards import RULES
from hero_rl.toml_layers import dump, read_file

PAGE = DOCS / "commands.md"
SETTINGS = DOCS / "settings.md"
HEADING = "says how they are set.\n"
TOKENS = ["| `tokens` | – | Named tokens, a table `[service.tokens.NAME]` each: [service.md](service.md#deploy). |"]
OWN = {
    "verifiers": Kind("hero_rl.verifiers.function:FunctionVerifier"),
    "reward_models": Kind("hero_rl.scorers.function:FunctionScorer"),
}


def generated() -> str:
    """Return what stands below the heading: a table for each rule, verifier and reward model that has settings."""
    parts = [*_section("`[rule]`", RULE_KEYS, ((f"`{name}`", describe(rule)) for name, rule in RULES.items()))]
    parts += _section("`[verifier]`", VERIFIER_KEYS, _tables(VERIFIERS, OWN["verifiers"]))
    parts += _section("`[reward_model]`", SCORER_KEYS, _tables(REWARD_MODELS, OWN["reward_models"]))
    top = [Setting(name, DEFAULTS.values[name], KEYS[name]) for name in ("max_failure_rate", "on_unhealthy")]
    hints = get_type_hints(ServiceOptions, include_extras=True)
    served = [Setting(key, value, hints[key].__metadata__[0].help) for key, value in ServiceOptions._field_defaults.items()]
    service = ["### `[service]`, of `hero serve`", "", *_rows("`[service]`", served), *TOKENS, ""]
    return "\n".join(["", *_rows("outside tables", top), "", *parts, *service])


def _section(title: str, keys: Mapping[str, object], tables: Iterable[tuple[str, list[Setting]]]) -> list[str]:
    general = [Setting(key, default, KEYS[key]) for key, default in keys.items()]
    lines = [f"### {title}", "", *_rows(f"all of {title}", general), ""]
    for names, settings in tables:
        if settings:
            lines += [*_rows(names, settings), ""]
    return lines


def _tables(table: Mapping[str, Kind], own: Kind) -> Iterable[tuple[str, list[Setting]]]:
    names: dict[str, list[str]] = {}
    for name, kind in table.items():
        names.setdefault(kind.target, []).append(name)
    kinds = {table[same[0]]: ", ".join(f"`{name}`" for name in same) for same in names.values()}
    if next(iter(JUDGES)) in table:
        kinds[Kind("hero_rl.verifiers.judge:LocalJudge")] = "a judge on this machine, too"
    for kind, title in (kinds | {own: "your own `module:function`, beside its own keyword arguments"}).items():
        yield title, [one for one in describe(import_object(kind.target)) if one.name not in kind.hidden]


def _rows(title: str, settings: Iterable[Setting]) -> list[str]:
    lines = [f"| {title} | default | |", "|---|---|---|"]
    for one in settings:
        if one.text == "see ``hero``.":
            continue
        plain = isinstance(one.default, bool | int | float | str)
        default = f"`{dump({'x': one.default}).strip()[4:]}`" if plain else "–"
        text = (
            re.sub(r"``(.*?)``", r"`\1`", one.text[:1].upper() + one.text[1:]).replace("|", "\\|").replace("None: ", "unset: ")
        )
        lines.append(f"| `{one.name}` | {default} | {text} |")
    return lines


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert SETTINGS.read_text(encoding="utf-8").split(HEADING)[1] == generated(), "run: python tests/test_reward_docs.py"


def test_every_setting_has_a_sentence() -> None:
    rows = [row for row in generated().splitlines() if row.startswith("| `") and "| default |" not in row]
    assert len(rows) > 100
    assert [row for row in rows if not row.split(" | ")[2].strip(" |")] == []


def test_the_files_in_the_page_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert blocks
    for block in blocks:
        Path("reward.toml").write_text(block)
        config = load_reward(Path("reward.toml"))
        given = set(read_file(Path("reward.toml")).values)
        assert {"rule", "verifier", "reward_model", "max_failure_rate", "on_unhealthy"} >= given
        assert config.warnings() == []


def test_the_commands_in_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rollouts.jsonl").write_text(
        "".join(
            f'{{"prompt_id": "p", "problem": "1+1?", "reference": "2", "response": "\\\\boxed{{{n}}}", "rm_score": {n}}}\n'
            for n in range(4)
        )
    )
    Path("table.csv").write_text("task,answer,text\n1+1?,2,2\n1+1?,2,3\n")
    commands = [shlex.split(line, comments=True) for line in re.findall(r"^    (hero .*)$", page(), re.MULTILINE)]
    offline = [command for command in commands if command[1] in ("reward", "score", "verify")]
    assert len(offline) >= 6
    for command in offline:
        assert main(command[1:]) == 0, command


if __name__ == "__main__":
    SETTINGS.write_text(SETTINGS.read_text(encoding="utf-8").split(HEADING)[0] + HEADING + generated(), encoding="utf-8")
