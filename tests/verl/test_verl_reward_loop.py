"""verl's real reward workers on Ray, calling the real reward function, with a reward model behind HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from here import config
from tensordict import TensorDict
from tokenizers import Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast
from verl.experimental.reward_loop import RewardLoopManager

from hero_rl.engines.wire import KEYS, from_infos
from verl import DataProto

pytestmark = pytest.mark.usefixtures("queue")

LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789 {}\\+=?.,")


class RewardModel(BaseHTTPRequestHandler):
    """Speaks vLLM's /classify: the score of a text is the number of its letters; a text with 'zz' has none."""

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "letters", "max_model_len": 4096}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = body["input"] if isinstance(body.get("input"), list) else [body.get("input", "")]
        if any("zz" in text for text in texts):
            self._answer({"error": {"message": "no"}}, status=400)
            return
        data = [
            {"index": index, "label": "LABEL_0", "probs": [float(sum(map(str.isalpha, text)))], "num_classes": 1}
            for index, text in enumerate(texts)
        ]
        tokens = sum(map(len, texts))
        self._answer({"id": "1", "object": "list", "model": "letters", "data": data,
                      "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}})  # fmt: skip

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: Any, *, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), RewardModel)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """A token a character, so that what is decoded is what was written."""
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<eos>", *LETTERS])}
    model = Tokenizer(WordLevel(vocabulary, unk_token="<pad>"))
    model.pre_tokenizer = Split("", "isolated")
    model.decoder = Fuse()
    made = PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", eos_token="<eos>")
    made.save_pretrained(tmp_path_factory.mktemp("tokenizer"))
    return made


def rollouts(tokenizer: PreTrainedTokenizerFast, responses: list[tuple[str, str]]) -> DataProto:
    """As verl's agent loop hands them to its reward workers: prompts padded left, responses right."""
    ids = [tokenizer.encode(text, add_special_tokens=False) for text, _ in responses]
    width = max(map(len, ids))
    padded = torch.tensor([one + [0] * (width - len(one)) for one in ids])
    mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids])
    prompts = torch.full((len(ids), 2), 2)
    values = {"prompts": prompts, "responses": padded, "attention_mask": torch.cat([torch.ones_like(prompts), mask], 1)}
    columns: dict[str, list[Any]] = {
        "data_source": ["sums"] * len(ids),
        "reward_model": [{"ground_truth": truth, "style": "rule"} for _, truth in responses],
        "extra_info": [{"problem": "what is it?", "index": index} for index in range(len(ids))],
    }
    arrays = {name: np.array(column, dtype=object) for name, column in columns.items()}
    return DataProto(batch=TensorDict(values, batch_size=len(ids)), non_tensor_batch=arrays)


def test_the_workers_return_both_signals_under_the_same_keys(
    url: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    function = "+reward.custom_reward_function.reward_kwargs"
    manager = RewardLoopManager(
        config(
            f"actor_rollout_ref.model.path={tmp_path}", "reward.num_workers=2", f"{function}.hero=${{hero}}",
            "+hero.verifier.name=math", "+hero.verifier.workers=1", f'+hero.reward_model.name="vllm:{url}"',
            "+hero.reward_model.template=plain", "+hero.reward_model.eos=never",
            f"+hero.reward_model.tokenizer={tmp_path}",
        )
    )  # fmt: skip
    responses = [
        ("it is \\boxed{4}", "4"),  # right
        ("it is \\boxed{5}", "4"),  # wrong
        ("so zz \\boxed{4}", "4"),  # right, and the reward model refuses it
        ("it is \\boxed{7}", "4"),
        ("\\boxed{4}", ""),  # nothing to compare with
    ]
    output = manager.compute_rm_score(rollouts(tokenizer, responses))
    assert set(output.non_tensor_batch) == set(KEYS)
    assert output.non_tensor_batch["acc"].tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]
    assert output.batch["rm_scores"].sum(1).tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]  # the bare verdict
    assert output.non_tensor_batch["rm_ok"].tolist() == [1.0, 1.0, 0.0, 1.0, 1.0]
    assert output.non_tensor_batch["abstain"].tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    for name in set(KEYS) - {"reason", "steps"}:
        assert np.isfinite(output.non_tensor_batch[name].astype(float)).all()

    rows = [{name: column[i] for name, column in output.non_tensor_batch.items()} for i in range(len(responses))]
    signals = from_infos(rows)
    problem = "what is it?"
    letters = [float(sum(map(str.isalpha, problem + text))) for text, _ in responses]
    np.testing.assert_array_equal(signals.verdicts, [1.0, 0.0, 1.0, 0.0, np.nan])
    np.testing.assert_array_equal(signals.scores, [*letters[:2], np.nan, *letters[3:]])
