"""`hero lab` refuses what cannot work before it trains anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hero_rl.cli import main
from hero_rl.errors import install_command

BAD = {
    "regime": (["--regime", "easy"], "regime='easy' is unknown; choose one of verifiable, hard, mixed"),
    "tier": (
        ["--reward-model-tier", "good"],
        "tier='good': input should be 'hackable', 'robust' or 'chance'",
    ),
    "task": (["--task", "algebra"], "task='algebra': input should be 'chain', 'equations' or 'units'"),
    "recall": (["--verifier-recall", "1.5"], "verifier_recall=1.5: input should be less than or equal to 1"),
    "recall that is no number": (["--verifier-recall", "nan"], "verifier_recall=nan: input should be a finite number"),
    "score noise": (["--score-noise", "-1"], "score_noise=-1.0: input should be greater than or equal to 0"),
    "learned verifier of another task": (["--task", "units", "--rules", "cascade"], "task='units' has no learned verifier"),
    "rule": (["--rules", "heor"], "rule 'heor' is unknown"),
    "rule setting": (["--rules", "hero:gamma=1"], "rule 'hero' has no setting 'gamma'"),
    "rule setting of the wrong type": (["--rules", "hero:alpha=wide"], "rule 'hero' cannot take {'alpha': 'wide'}"),
    "overlapping bands": (["--rules", "hero:alpha=0.6,beta=0.6"], "bands overlap"),
    "no rule": (["--rules", " "], "rule '' is unknown"),
    "seeds": (["--seeds", "a few"], "'a few' is neither a number nor a range such as 0-4"),
    "seeds backwards": (["--seeds", "4-0"], "'4-0' is neither a number nor a range such as 0-4"),
    "steps": (["--steps", "0"], "Invalid value for '--steps'"),
    "scale": (["--scale", "std"], "scale='std': input should be 'none', 'group' or 'batch'"),
    "learning rate": (["--learning-rate", "0"], "learning_rate=0.0: input should be greater than 0"),
    "learning rate that is no number": (["--learning-rate", "nan"], "learning_rate=nan: input should be a finite number"),
    "learning rate of a rule": (["--rules", "hero:learning_rate=0"], "learning_rate=0: input should be greater than 0"),
    "kl": (["--kl", "-1"], "kl=-1.0: input should be greater than or equal to 0"),
    "kl that is no number": (["--kl", "nan"], "kl=nan: input should be a finite number"),
    "verifier": (
        ["--rules", "hero:verifier=math"],
        "verifier='math': input should be 'strict', 'abstaining', 'learned' or 'cascade'",
    ),
    "verifier for nothing": (["--rules", "rm_only:verifier=cascade"], "'rm_only' asks no verifier"),
    "learned band": (["--rules", "hero_cascade:learned_credit=0.95"], "learned_credit=0.95"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_option_is_one_message_and_no_folder(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, message = BAD[case]
    assert main(["lab", *options, "--out", str(tmp_path / "lab")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lab").write_text("")
    for out in (tmp_path / "lab", tmp_path / "lab" / "deeper"):
        assert main(["lab", "--out", str(out)]) == 2
        assert f"--out {out}: " in capsys.readouterr().err


@pytest.mark.parametrize("package", ["trl", "matplotlib", "jinja2"])
def test_a_missing_package_is_named_before_minutes_of_training(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["lab", "--out", str(tmp_path / "lab")]) == 2
    assert (
        f"hero lab needs the package '{package}', which is not installed: {install_command('lab')}" in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []
