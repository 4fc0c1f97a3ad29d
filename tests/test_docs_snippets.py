"""Every Python snippet of the documentation runs, as it stands: those of a page one after the other, in a process of their own.

Models lie in folders named as on the hub, and are tiny. What other trainers' packages give to a snippet is stood in for here;
the packages themselves are tested by `make test-adapters`. Servers are real, on other ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest

pytest.importorskip("math_verify", reason="the snippets need the extras math, train and serve")
pytest.importorskip("trl", reason="the snippets need the extras math, train and serve")
pytest.importorskip("fastapi", reason="the snippets need the extras math, train and serve")

from helpers import forks, process_models, servers, tiny, tiny_files
from helpers.places import DOCS, ROOT
from helpers.service import serving

ELSEWHERE = {
    "README.md": ("tests/test_readme.py", 2),
    "docs/own-parts.md": ("tests/test_own_parts_docs.py", 4),
    "docs/service.md": ("tests/engines/service/test_client.py", 3),
    "docs/training-reference.md": ("tests/engines/trl/test_train_command.py", 1),
    "docs/verifiers.md": ("tests/verifiers/test_docs.py", 4),
}
"""Where the snippets of other pages run, and how many they are."""

ONE_STEP = 'scale_rewards="none", max_steps=1, max_completion_length=8'


class Page(NamedTuple):
    checks: list[str]
    """Run after each snippet."""
    changes: dict[str, str] = {}  # noqa: RUF012 - never changed
    """What cannot be as on the page: the length of a training, a precision that TRL refuses on a CPU."""
    given: str = ""
    """What the reader has."""


ROLLOUTS = """
from hero_rl import Rollout
rollouts = [
    Rollout(prompt_id="1", problem="1+1=?", reference="2", response=text, extra={"rm_score": len(text)})
    for text in (r"\\boxed{2}", r"\\boxed{3}", r"\\boxed{2\\%}")
]
"""
PROBLEMS = """
from datasets import load_dataset
problems = held_out = load_dataset("json", data_files="problems.jsonl", split="train")
"""
BY_HAND = """
from types import SimpleNamespace
by_hand = SimpleNamespace(num_generations=2, scale_rewards="none")
def rewards(function, column="reference"):
    return function(["2", "3"], ["1+1=?"] * 2, **{column: ["2"] * 2})
"""

PAGES = {
    "docs/adaptive.md": Page(
        ["with reward: found = reward.batch(rollouts).rewards\nassert found[0] > max(found[1:])"], given=ROLLOUTS
    ),
    "docs/attack.md": Page(["assert report.total.tried > 20 > report.total.accepted"]),
    "docs/engines.md": Page(
        [
            "",
            """
            from hero_rl.engines.trl import HeroConfig
            args = HeroConfig("runs/hero", scale_rewards="none", num_generations=8, max_steps=1, max_completion_length=8)
            renamed = problems.rename_column("reference", "answer")
            GRPOTrainer(model, reward, args, train_dataset=renamed, processing_class=tokenizer).train()
            """,
            'assert rewards(orms["hero"](args=by_hand), "solution") == [0.5, -0.5]',
            'assert register.made["hero"].__name__ == "hero_verifier_only"',
            """
            train, test = asyncio.run(HeroMath()())
            assert (len(train), len(test), train.training, test.training) == (3, 2, True, False)
            assert train.get_batch(0)[0].judge is judge
            """,
            """
            class Backend:
                async def train(self, model, groups, *, scale_rewards):
                    assert not scale_rewards
                    self.rewards = [one.reward for one in groups[0].trajectories]
            def group():
                answers = [[{"role": "user", "content": "1+1=?"}, {"role": "assistant", "content": text}] for text in "23"]
                rows = [SimpleNamespace(messages=lambda m=m: m, messages_and_choices=m, metadata={}, metrics={}, reward=0.0)
                        for m in answers]
                return SimpleNamespace(trajectories=rows, metadata={"reference": "2"})
            backend = Backend()
            asyncio.run(step(backend, None, [group()]))
            assert backend.rewards == [0.5, -0.5]
            assert [one.reward for one in asyncio.run(evaluate([group()]))[0].trajectories] == [1.0, 0.0]
            """,
            """
            class Words:
                def decode(self, tokens, skip_special_tokens): return tokens
            async def sample():
                params, label = object(), {"problem": "1+1=?", "reference": "2"}
                one = AgentExecutor().execute
                return await asyncio.gather(*(one(text, label, params, hf_tokenizer=Words()) for text in "22"))
            assert [one["reward"] for one in asyncio.run(sample())] == [0.0, 0.0]
            """,
            """
            import json, urllib.request
            body = {"run_id": "gym", "problem": "1+1=?", "reference": "2", "responses": ["2", "3"]}
            url, data = "http://rewards:8400/v1/score_group", json.dumps(body).encode()
            answer = json.load(urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})))
            assert [fields(row)["reward"] for row in answer["responses"]] == [1.0, 0.0]
            assert all(sum(fields(row)["reward_components"].values()) == fields(row)["reward"] for row in answer["responses"])
            """,
        ],
        {'scale_rewards="none"': ONE_STEP + ", bf16=False"},
        "import asyncio" + BY_HAND + PROBLEMS,
    ),
    "docs/cascade-reference.md": Page(
        [
            'with verifier: assert [one.learned for one in verifier.verify(rollouts)] == [False, False, True]',
            'with verifier: assert [one.label for one in verifier.verify(rollouts[:2])] == ["correct", "incorrect"]',
            'assert (batch.advantages[0] > batch.advantages[1:]).all() and Path("results.sqlite").stat().st_size',
        ],
        given="from pathlib import Path" + ROLLOUTS,
    ),
    "docs/judge-reference.md": Page(
        [
            'assert verdicts[0].label == "correct"',
            'with judge: assert " | reply: " in judge.verify(rollouts[:1])[0].detail',
        ],
        given=ROLLOUTS,
    ),
    "docs/process.md": Page([""], {'scale_rewards="none"': ONE_STEP}),
    "docs/reward-models.md": Page(
        [
            "assert len({*scores.tolist()}) == 2",
            "assert [len(one) for one in steps] == [1, 1] and [*scores] == [one.min() for one in steps]",
            "assert len({*scores.tolist()}) == 2",
        ]
    ),
    "docs/training.md": Page(
        ["", ""],
        {'scale_rewards="none"': ONE_STEP},
        PROBLEMS
        + f"""
from transformers import AutoTokenizer
from hero_rl import HybridReward, verifier_only
from hero_rl.engines.trl import HeroConfig
from hero_rl.verifiers import ExactVerifier
model, tokenizer = "Qwen/Qwen3-0.6B", AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
reward, args = HybridReward(ExactVerifier(), None, verifier_only()), HeroConfig("runs/first", {ONE_STEP})
""",
    ),
}  # fmt: skip

STAND_INS = {
    "chz.py": "def chz(made): return made",
    "tinker_cookbook/recipes/math_rl/math_env.py": """
        class Data(list):
            def get_batch(self, index): return [self[index]]
        class MathDatasetBuilder:
            async def __call__(self): return Data("abc"), Data("de")
    """,
    "art.py": """
        async def gather_trajectory_groups(groups, *, after_each): return [await after_each(group) for group in groups]
    """,
    "openrlhf/utils/agent.py": """
        class SingleTurnAgentExecutor:
            async def execute(self, prompt, label, sampling_params, **others):
                return {"observation_tokens": prompt, "action_ranges": [(0, 1)], "truncated": False}
    """,
    "swift/rewards.py": "orms = {}",
    "oumi/core/registry.py": """
        class RegistryType: REWARD_FUNCTION = "reward function"
        def register(name, kind): return lambda function: register.made.setdefault(name, function)
        register.made = {}
    """,
    "unsloth.py": """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        class FastLanguageModel:
            @staticmethod
            def from_pretrained(name, *, max_seq_length):
                return AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    """,
}


def snippets(page: Path) -> list[str]:
    return [
        dedent(code) for code in re.findall(r"^ *```(?:python|py|pycon)\n(.*?)```", page.read_text("utf-8"), re.DOTALL | re.M)
    ]


def test_all_pages_with_snippets_are_run() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *DOCS.rglob("*.md")] if snippets(path)}
    assert found == {*PAGES, *ELSEWHERE}
    for page, (test, count) in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")
        assert len(snippets(ROOT / page)) == count


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the snippets name: models, problems, a reward file, other packages."""
    import torch
    from transformers import LlamaForSequenceClassification

    folder = tmp_path_factory.mktemp("snippets")
    policy = tiny.model()
    policy.config.max_position_embeddings = 4096
    for name in ("Qwen/Qwen3-0.6B", "unsloth/Qwen3-4B-Base", "path/to/CompassVerifier-3B"):
        policy.save_pretrained(folder / name)
        tiny.tokenizer().save_pretrained(folder / name)
    tiny.tokenizer().save_pretrained(folder / "Skywork/Skywork-Reward-V2-Qwen3-8B")
    torch.manual_seed(1)
    config: Any = policy.config.__class__(**{**policy.config.to_dict(), "num_labels": 1})
    for name in ("nvidia/AceMath-7B-RM", "my-reward-model"):
        LlamaForSequenceClassification(config).save_pretrained(folder / name)
        tiny.tokenizer().save_pretrained(folder / name)
    steps = folder / "Qwen/Qwen2.5-Math-PRM-7B"
    steps.mkdir()
    process_models.process_checkpoint(steps)
    process_models.build_tokenizer(chat=True, extra=True).save_pretrained(steps)
    tiny_files.write_rows(folder / "problems.jsonl", [{"prompt": f"{i}+{i}=?", "reference": str(2 * i)} for i in range(8)])
    (folder / "reward.toml").write_text('[verifier]\nname = "exact"\n[rule]\nname = "verifier_only"\n')
    for name, code in STAND_INS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(code))
    return folder


def reply(messages: list[dict[str, Any]]) -> str:
    """As CompassVerifier, and as General-Verifier."""
    return "A" if "CORRECT" in str(messages) else "Final Decision: Yes"


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:

        def tokens(text: str, special: bool) -> int:
            return len(text)

        first, second = (stack.enter_context(servers.running("vllm", tokens=tokens)) for _ in range(2))
        judge = stack.enter_context(servers.running("chat", reply=reply))
        service = stack.enter_context(serving("--verifier", "exact", "--rule", "verifier_only", "--set", "rule.scale=none"))
        yield {
            "http://gpu1:8000": first.url, "http://gpu2:8000": second.url, "http://localhost:8000": judge.url,
            "http://rewards:8400": service.url,
        }  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_run(page: str, folder: Path, addresses: dict[str, str]) -> None:
    codes, given = snippets(ROOT / page), PAGES[page]
    for old, new in given.changes.items():
        assert old in "".join(codes)
        codes = [code.replace(old, new) for code in codes]
    text = "\n".join(f"{code}\n{dedent(check)}" for code, check in zip(codes, given.checks, strict=True))
    for old, new in addresses.items():
        text = text.replace(old, new)
    done = forks.run(["-c", f"import sys\nsys.path.insert(0, '')\n{given.given}\n{text}"], cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    for line in re.findall(r"^print\(.*\)  +# (.+)$", text, re.MULTILINE):
        assert line in done.stdout.splitlines()
    assert "train()" not in text or "'train_loss'" in done.stdout
