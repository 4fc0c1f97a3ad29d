"""Recipes as data: the paper's load and say what the paper says, and mistakes are named with their line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from helpers.places import DOCS
from helpers.strategies import examples
from hero_rl.cli import main
from hero_rl.engines.trl.arguments import grpo_config, grpo_given, sft_given
from hero_rl.engines.trl.recipe import Recipe, load_recipe, packaged
from hero_rl.errors import InputError
from hero_rl.rewards import hero
from hero_rl.toml_layers import dump, line_of

PAPER = ["paper/qwen3-4b-easy", "paper/qwen3-4b-hard", "paper/qwen3-4b-mixed", "paper/octothinker-8b-easy",
         "paper/octothinker-8b-hard", "paper/octothinker-8b-mixed"]  # fmt: skip
MINIMAL = 'reward_model.name = "local:owner/rm"\n[policy]\nmodel = "m"\n[data]\npath = "p.jsonl"\n'


def write(folder: Path, text: str, name: str = "recipe.toml") -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def refused(text: str, folder: Path, *assignments: str) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(write(folder, text), assignments)
    return str(caught.value).replace(f"{folder}/", "")


BY_MACHINE = ["1gpu/qwen3-0.6b", "1gpu/qwen3-1.7b", "8gpu/qwen3-4b"]


def test_the_package_has_recipes_by_machine_the_six_of_the_paper_and_a_tiny_one() -> None:
    assert sorted(packaged()) == sorted([*BY_MACHINE, *PAPER, "tiny-cpu"])


@pytest.mark.parametrize("name", packaged())
def test_packaged_recipes_load_and_their_trl_arguments_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_recipe(name)
    assert loaded.name == name
    assert loaded.recipe.description
    assert grpo_given(loaded)["num_generations"] >= 4
    assert bool(sft_given(loaded)) == (loaded.recipe.sft is not None)
    assert main(["train", name, "--show"]) == 0
    assert tomllib.loads(capsys.readouterr().out) == loaded.resolved()


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("processes", [1, 8, 32])
def test_paper_batches_are_512_prompts_a_generation_and_128_a_step_on_any_number_of_processes(
    name: str, processes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded = load_recipe(name, ["vllm=false", "trl.bf16=false"])
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    config = grpo_config(loaded, grpo_given(loaded), hero(), tmp_path)
    at_once = config.per_device_train_batch_size * processes
    assert at_once * config.steps_per_generation == 512 * config.num_generations
    assert at_once * config.gradient_accumulation_steps == 128 * config.num_generations
    assert config.save_steps % (config.steps_per_generation // config.gradient_accumulation_steps) == 0


@pytest.mark.parametrize("name", PAPER)
def test_paper_recipes_say_what_the_papers_table_says(name: str) -> None:
    loaded = load_recipe(name)
    recipe, reward_model = loaded.recipe, loaded.reward.reward_model
    qwen = "qwen3" in name
    assert recipe.policy.model == ("Qwen/Qwen3-4B-Base" if qwen else "OctoThinker/OctoThinker-8B-Hybrid-Base")
    assert reward_model is not None
    assert reward_model["name"] == "local:nvidia/AceMath-7B-RM"
    band = 0.05 if name.endswith("easy") else 0.1
    said = {"alpha": band, "beta": band, "w_min": 0.4, "w_max": 3.0, "k": 6.0, "decay": 0.9}
    assert (loaded.reward.rule.name, loaded.reward.rule.settings) == ("hero", hero(**said).settings)
    trl = recipe.trl
    assert (trl["num_generations"], trl["max_completion_length"], trl["beta"]) == (
        (8, 8192, 0.0) if qwen else (16, 4096, 0.001)
    )
    assert (trl["learning_rate"], trl["num_train_epochs"], trl["temperature"]) == (1e-6, 20, 1.0)
    assert (trl["epsilon"], trl["epsilon_high"], trl["entropy_coef"], trl["scale_rewards"]) == (0.2, 0.28, 0.0, "none")
    assert recipe.sft is not None
    assert (recipe.sft.epochs, recipe.sft.limit) == (2, 2000)
    assert recipe.data.max_prompt_length == 1024
    assert name.rpartition("-")[2] in recipe.data.path
    # the reward model has to read the whole of prompt, response and template
    assert reward_model["max_length"] >= trl["max_completion_length"] + 1024


@pytest.mark.parametrize("name", BY_MACHINE)
def test_recipes_by_machine_divide_their_batches_and_fit_what_the_models_read(name: str, tmp_path: Path) -> None:
    loaded = load_recipe(name, ["vllm=false", "trl.bf16=false", "policy.dtype=float32"])
    config = grpo_config(loaded, grpo_given(loaded), hero(), tmp_path)
    assert config.save_steps % (config.steps_per_generation // config.gradient_accumulation_steps) == 0
    vllm, data, trl = load_recipe(name).recipe.vllm, loaded.recipe.data, loaded.recipe.trl
    assert vllm is not None
    assert data.max_prompt_length is not None
    assert vllm["max_model_length"] == data.max_prompt_length + trl["max_completion_length"]
    text = packaged()[name].read_text(encoding="utf-8")
    assert f"hf download {loaded.recipe.policy.model}" in text
    assert "hf download --repo-type dataset " in text or "extends" in text


def test_assignments_are_stronger_than_the_file_and_the_last_one_wins(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "[trl]\nlearning_rate = 1e-6\nmax_steps = 5\n")
    loaded = load_recipe(path, ["trl.learning_rate=3e-6", "trl.learning_rate=2e-6", "policy.model=a/b", 'data.path="q.jsonl"'])
    assert loaded.recipe.trl == {"learning_rate": 2e-6, "max_steps": 5}
    assert (loaded.recipe.policy.model, loaded.recipe.data.path) == ("a/b", "q.jsonl")
    assert loaded.where("trl", "learning_rate") == "--set trl.learning_rate=2e-6"
    assert loaded.where("trl", "max_steps") == f"{path}:8"


def test_a_recipe_extends_another_by_path_or_packaged_name(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL + '[sft]\npath = "s.jsonl"\n[trl]\nmax_steps = 5\nbeta = 0.1\n', "base/one.toml")
    child = write(tmp_path, 'extends = "base/one.toml"\n[trl]\nmax_steps = 9\n', "two.toml")
    recipe = load_recipe(child).recipe
    assert recipe.trl == {"max_steps": 9, "beta": 0.1}
    assert recipe.sft is not None
    assert load_recipe(child, ["sft=false"]).recipe.sft is None
    other = write(tmp_path, 'extends = "tiny-cpu"\nseed = 3\n', "three.toml")
    assert load_recipe(other).recipe.seed == 3


def test_recipes_that_extend_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "b.toml"\n', "a.toml")
    path = write(tmp_path, 'extends = "a.toml"\n', "b.toml")
    with pytest.raises(InputError, match="is it a circle"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[policy]\nmodle = "m"\n[data]\npath = "p"\n', ":2: unknown key 'policy.modle'; did you mean 'policy.model'?"),
        (MINIMAL + "[data.columns]\nreferense = 'a'\n", ":7: unknown key 'data.columns.referense'; did you mean 'data.col"),
        ("sead = 1\n" + MINIMAL, ":1: unknown key 'sead'; did you mean 'seed'?"),
        (MINIMAL + "[qqq]\nx = 1\n", ":6: unknown key 'qqq'; keys: description, policy, data"),
        (MINIMAL + "limit = '5'\n", ":6: data.limit = '5': input should be a valid integer"),
        (MINIMAL + "limit = 0\n", ":6: data.limit = 0: input should be greater than 0"),
        ("seed = true\n" + MINIMAL, ":1: seed = True: input should be a valid integer"),
        ("max_failure_rate = 2.0\n" + MINIMAL, ":1: max_failure_rate=2.0 must lie in [0, 1]"),
        (MINIMAL + "format = 'jinja'\n", ":6: data.format = 'jinja': input should be 'chat' or 'plain'"),
        (MINIMAL + "[verifier]\nask = 'always'\n", ":7: verifier.ask = 'always': input should be 'abstain', 'incorrect'"),
        ('[data]\npath = "p"\n', ": 'policy' is missing"),
        ("[policy\n", ": not TOML:"),
        ("seed = 1\nseed = 2\n", ": not TOML:"),
        ("extends = 3\n", ":1: extends = 3"),
        ('extends = "absent.toml"\n', ":1: absent.toml: no such recipe"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_file_line_and_nearest_key(text: str, message: str, tmp_path: Path) -> None:
    assert refused(text, tmp_path).startswith(f"recipe.toml{message}")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("policy.modle=x", "--set policy.modle=x: unknown key 'policy.modle'; did you mean 'policy.model'?"),
        ("trl=3", "--set trl=3: trl = 3: input should be a valid dictionary"),
        ("data.limit=many", "--set data.limit=many: data.limit = 'many': input should be a valid integer"),
        ("nonsense", "--set nonsense: write KEY=VALUE"),
        ("=3", "--set =3: write KEY=VALUE"),
        ("extends=x", "--set extends=x: a recipe extends another in its file only"),
    ],
)
def test_mistakes_in_assignments_are_named(assignment: str, message: str, tmp_path: Path) -> None:
    assert refused(MINIMAL, tmp_path, assignment).startswith(message)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    assert len(refused(MINIMAL + "limit = 0\nsplitt = 'x'\n", tmp_path).splitlines()) == 2


def test_a_recipe_that_does_not_exist_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="did you mean 'paper/qwen3-4b-hard'"):
        load_recipe("paper/qwen3-4b-hrad")
    with pytest.raises(InputError, match="is a folder"):
        load_recipe(".")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("lerning_rate = 1e-6", "recipe.toml:7: unknown key 'trl.lerning_rate'; did you mean 'trl.learning_rate'?"),
        ("learning_rate = 'fast'", "recipe.toml:7: trl.learning_rate = 'fast': input should be a valid number"),
        ("reward_weights = [1.0]", "recipe.toml:7: 'trl.reward_weights' is set by [rule]"),
        ("output_dir = 'x'", "recipe.toml:7: 'trl.output_dir' is set by output_dir or --output"),
        (
            "seed = 1\nreward_weights = [1.0]",
            "recipe.toml:7: 'trl.seed' is set by seed; leave it out here\n"
            "{folder}/recipe.toml:8: 'trl.reward_weights' is set by [rule]",
        ),
    ],
)
def test_trl_arguments_are_checked_against_trls_own_fields(lines: str, message: str, tmp_path: Path) -> None:
    loaded = load_recipe(write(tmp_path, MINIMAL + f"[trl]\n{lines}\n"))
    with pytest.raises(InputError) as caught:
        grpo_given(loaded)
    assert str(caught.value).startswith(f"{tmp_path}/{message.format(folder=tmp_path)}")


def test_values_that_trl_refuses_together_are_refused_with_its_reason(tmp_path: Path) -> None:
    loaded = load_recipe(
        write(tmp_path, MINIMAL + "[trl]\nnum_generations = 3\nper_device_train_batch_size = 4\nuse_cpu = true\n")
    )
    with pytest.raises(InputError, match="must be divisible by num_generations"):
        grpo_config(loaded, grpo_given(loaded), hero(), tmp_path)


def test_the_rules_own_normalisation_is_the_default_and_the_recipe_can_say_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "[trl]\nuse_cpu = true\n")
    for assignments, scale in (([], "none"), (["trl.scale_rewards=batch"], "batch")):
        loaded = load_recipe(path, assignments)
        assert grpo_config(loaded, grpo_given(loaded), hero(), tmp_path).scale_rewards == scale


def test_batches_that_do_not_divide_are_refused_with_the_numbers(tmp_path: Path) -> None:
    table = "[batch]\nprompts_per_generation = {}\nprompts_per_step = {}\nresponses_per_device = {}\n"
    for numbers, message in (
        ((6, 4, 8), "is no multiple of prompts_per_step=4"),
        ((4, 4, 5), "= 32 do not divide by 5 a device"),
    ):
        loaded = load_recipe(write(tmp_path, MINIMAL + table.format(*numbers)))
        with pytest.raises(InputError, match=message):
            grpo_config(loaded, grpo_given(loaded), hero(), tmp_path)


def test_line_of_finds_tables_dotted_keys_and_inline_positions() -> None:
    text = 'a = 1\nb.c = 2\n[t]\n# x = 0\nx = 3\n[t.u]\n"y" = 4\n'
    keys = {("a",): 1, ("b", "c"): 2, ("t",): 3, ("t", "x"): 5, ("t", "u"): 6, ("t", "u", "y"): 7, ("t", "z"): None}
    assert {key: line_of(text, key) for key in keys} == keys


KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=9)
)
VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=3), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@examples(200)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_toml_is_read_back_as_it_was(values: dict[str, object]) -> None:
    assert tomllib.loads(dump(values)) == values


def test_the_recipe_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    loaded = load_recipe(write(tmp_path, text.split("```toml\n")[1].split("```")[0]))
    assert loaded.reward.reward_model is not None
    assert grpo_given(loaded)["max_completion_length"] == 2048


def test_the_documentation_names_every_key() -> None:
    text = (DOCS / "recipe-keys.md").read_text(encoding="utf-8")
    for table, model in Recipe.model_fields.items():
        assert table in text
        kinds = [kind for kind in (model.annotation, *get_args(model.annotation)) if isinstance(kind, type)]
        for kind in kinds:
            if issubclass(kind, BaseModel):
                assert all(key in text for key in kind.model_fields), table
