"""A policy on this machine as a model of inspect_ai: what it samples, and that batches do not matter."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("inspect_ai")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers import tiny  # noqa: E402
from helpers.strategies import examples  # noqa: E402
from hero_rl.errors import InputError  # noqa: E402
from hero_rl.evaluation.local import LIKELIEST, LocalPolicy, Request, keep_top_p  # noqa: E402
from hero_rl.evaluation.policies import choose_prompt, find_policy, prompt_source  # noqa: E402
from hero_rl.models.local import LocalModel  # noqa: E402


@pytest.fixture(scope="module")
def policy() -> LocalPolicy:
    return LocalPolicy(LocalModel("tiny", tiny.model(), tiny.tokenizer(), from_source=False), batch_size=64)


def request(
    policy: LocalPolicy, text: str, seed: int, *, tokens: int = 6, temperature: float = 0.6, top_p: float = 0.95
) -> Request:
    return Request(policy.generator.encode([{"content": text}], plain=True), tokens, temperature, top_p, seed)


def test_a_response_does_not_depend_on_its_batch(policy: LocalPolicy) -> None:
    asked = [request(policy, text, seed) for seed, text in enumerate(["1+1=", "what is 20+3?", "a", "1+1="])]
    together = policy.sample(asked)
    alone = [policy.sample([one])[0] for one in asked]
    assert together == alone
    assert together[0] != together[3]  # the same prompt under another seed


def test_tokens_are_drawn_with_the_probabilities_of_temperature_and_top_p(policy: LocalPolicy) -> None:
    """Against softmax(logits / T), cut at top-p, computed here."""
    ids = policy.generator.encode([{"content": "7+5="}], plain=True)
    with torch.no_grad():
        logits = policy.local.model(torch.tensor([ids])).logits[0, -1] / 0.6
    p = torch.softmax(logits, 0).numpy().astype(np.float64)
    order = np.argsort(-p)
    kept = order[: int(np.searchsorted(np.cumsum(p[order]), 0.7)) + 1]
    expected = {int(token): p[token] / p[kept].sum() for token in kept}
    draws = 3000
    counts: Counter[str] = Counter()
    for start in range(0, draws, 500):
        asked = [Request(ids, 1, 0.6, 0.7, seed) for seed in range(start, start + 500)]
        counts.update(response.text for response in policy.sample(asked))
    texts = {tiny.tokenizer().decode([token], skip_special_tokens=True): share for token, share in expected.items()}
    assert set(counts) <= set(texts)
    chi_square = sum((counts[text] - draws * share) ** 2 / (draws * share) for text, share in texts.items())
    freedom = len(texts) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


@given(
    size=st.sampled_from((2, 100, LIKELIEST, LIKELIEST + 1, 3000)), spread=st.sampled_from((0.0, 0.01, 1.0, 3.0, 8.0, 50.0)),
    top_p=st.sampled_from((0.0, 0.1, 0.5, 0.9, 0.95, 0.999)), seed=st.integers(0, 10**6),
)  # fmt: skip
@examples(100)
def test_top_p_keeps_the_tokens_that_sorting_the_whole_vocabulary_keeps(size, spread, top_p, seed) -> None:
    logits = torch.randn(3, size, generator=torch.Generator().manual_seed(seed)) * torch.tensor([[spread], [1.0], [20.0]])
    found, full = keep_top_p(logits, top_p), transformers.TopPLogitsWarper(top_p)(None, logits)
    assert torch.equal(found, torch.where(found > -torch.inf, logits, found))
    mass = logits.double().softmax(-1).sort(dim=-1, descending=True).values
    clear = (mass.cumsum(-1) - mass - top_p).abs() > 1e-5  # elsewhere rounding decides; sorted, ties do not
    found, full = (each.sort(dim=-1, descending=True).values for each in (found, full))
    assert torch.equal(found[clear], full[clear])
    assert (found[:, 0] > -torch.inf).all()


def test_temperature_zero_is_the_likeliest_token_whatever_the_seed(policy: LocalPolicy) -> None:
    one, other = policy.sample([request(policy, "1+1=", seed, temperature=0.0) for seed in (1, 2)])
    assert one == other


def test_it_says_whether_a_response_ended() -> None:
    model = tiny.model()
    ends = LocalPolicy(LocalModel("ends", model, tiny.tokenizer(), from_source=False), batch_size=4)
    ends.generator.stops = sorted(range(0, len(tiny.ALPHABET)))  # nearly every token ends a response
    found = ends.sample([request(ends, "1", seed, tokens=20) for seed in range(4)])
    assert all(one.finished and one.tokens < 20 for one in found)
    never = LocalPolicy(LocalModel("never", model, tiny.tokenizer(), from_source=False), batch_size=4)
    never.generator.stops = []
    assert [(one.finished, one.tokens) for one in never.sample([request(never, "1", 0, tokens=7)])] == [(False, 7)]


def test_a_chat_template_brings_its_special_tokens_itself() -> None:
    """Tokenizers that add a BOS to every text would add a second one to the template's."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "<eos>" + tiny.CHAT_TEMPLATE
    from tokenizers.processors import TemplateProcessing

    tokenizer._tokenizer.post_processor = TemplateProcessing(single="<eos> $A", special_tokens=[("<eos>", 1)])
    made = LocalPolicy(LocalModel("bos", tiny.model(), tokenizer, from_source=False), batch_size=1)
    counts = [made.generator.encode([{"role": "user", "content": "a"}], plain=plain).count(1) for plain in (False, True)]
    assert counts == [1, 1]  # bare text gets the tokenizer's own


def test_the_prompt_is_the_one_it_was_trained_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    places = {name: run / name for name in ("final", "checkpoint-2", "sft/final", "sft/checkpoint-1")}
    for folder in places.values():
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    recipe = run / "recipe.toml"
    recipe.write_text('[data]\nformat = "plain"\nprompt_template = "Q: {problem}\\nA: "\n')
    nothing = {"format": None, "system": None, "template": None}
    assert find_policy(str(run)).trained_with is None  # a recipe alone makes no run
    (run / "run.json").write_text("{}")
    for folder in (run, *places.values()):
        found = find_policy(str(folder))
        assert found.source == str(places.get(folder.relative_to(run).as_posix(), run / "final"))
        prompt = choose_prompt(found, **nothing, has_template=True)
        assert (prompt.format, prompt.system, prompt.text("1+1?")) == ("plain", "", "Q: 1+1?\nA: ")
        assert prompt_source(found, prompt, system_prompt=None) == f"the recipe of the run ({recipe})"
    other = choose_prompt(find_policy("owner/name"), **nothing, has_template=True)
    assert (other.format, other.template) == ("chat", "{problem}")
    assert "boxed" in other.system
    source = prompt_source(find_policy("owner/name"), other, format="chat", prompt_template=None)
    assert source == "the usual instruction under the chat template, changed by --format"
    assert "boxed" in choose_prompt(find_policy("owner/name"), **nothing, has_template=False).template


def test_an_unfinished_run_names_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("{}")
    with pytest.raises(InputError, match=f"give the folder of a saved transformers model, such as {tmp_path}/checkpoint-2"):
        find_policy(str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "message"),
    [("./absent", "no such folder"), ("name", "neither a folder"), ("vllm/", "nothing after the provider"),
     ("http://a:1,http://b:1", "one address"), ("a/b/c", "neither a folder")],
)  # fmt: skip
def test_what_names_no_policy_is_refused(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_policy(spec)


def test_kinds_of_policies() -> None:
    kinds = {spec: find_policy(spec).kind for spec in ("o/n", "vllm/o/n", "openai/gpt-4o", "http://h:1", "m@http://h:1/v1")}
    assert list(kinds.values()) == ["local", "inspect", "inspect", "server", "server"]
    assert find_policy("m@http://h:1/v1").served_model == "m"
