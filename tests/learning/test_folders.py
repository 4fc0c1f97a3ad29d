"""The folder of a model is whole or absent, and says what it holds."""

from __future__ import annotations

import json

import pytest

from hero_rl.errors import InputError
from hero_rl.learning.folders import new_folder, read_training, write_training


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interrupted_training_leaves_nothing(tmp_path, error):
    def interrupted() -> None:
        with new_folder(tmp_path / "model") as partial:
            (partial / "config.json").write_text("{}")
            assert not (tmp_path / "model").exists()
            raise error

    with pytest.raises(error):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_with_everything_in_it(tmp_path):
    with new_folder(tmp_path / "model") as partial:
        write_training(partial, {"kind": "verifier"})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["training.json"]


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="exists already"), new_folder(tmp_path / "model"):
        pass
    with pytest.raises(InputError, match="make it first"), new_folder(tmp_path / "no" / "model"):
        pass


def test_a_model_of_the_other_kind_is_refused(tmp_path):
    write_training(tmp_path, {"kind": "verifier"})
    assert read_training(tmp_path, "verifier")["kind"] == "verifier"
    assert "numpy" in json.loads((tmp_path / "training.json").read_text())["versions"]
    with pytest.raises(InputError, match="holds a verifier, and a reward model is needed"):
        read_training(tmp_path, "reward model")
