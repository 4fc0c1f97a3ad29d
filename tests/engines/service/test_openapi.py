"""The OpenAPI document is what the service does: schemathesis finds no counterexample, and the examples in it work."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import util
from pathlib import Path

import pytest

from helpers import forks
from helpers.service import Server, save_reward_model, serving

SETTINGS = """
# no standard forbids headers that a document does not name
[generation]
allow-extra-parameters = false

# a deadline of 10 ms may pass: that is what was asked for, and documented
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 504]

# what JSON Schema cannot say: lists of equal length
[[operations]]
include-path = "/get_reward"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 404, 422, 504]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = save_reward_model(tmp_path_factory.mktemp("openapi") / "reward-model")
    with serving("--verifier", "exact", "--reward-model", f"local:{folder}") as one:
        yield one


@pytest.mark.skipif(util.find_spec("schemathesis") is None, reason="schemathesis is not installed (dependency group dev)")
def test_schemathesis_finds_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    done = forks.run(
        ["-c", program, "--config-file", "settings.toml", "run", f"{server.url}/openapi.json", "--seed", "1", "--max-examples",
         "8", "--request-timeout", "20", "--no-shrink"],
        cwd=tmp_path, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
    assert "Tested: 10" in done.stdout
    assert server.metric("hero_running ") == 0
    assert server.http.get("/healthz").status_code == 200


def test_every_operation_is_described_and_its_example_works(server: Server) -> None:
    document = server.http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    tried: list[str] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            assert set(operation["responses"]) >= {"401", "405", "429", "500", "503"}
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            for reference in [schema, *schema.get("anyOf", [])]:
                for example in schemas.get(reference.get("$ref", "/").rsplit("/", 1)[1], {}).get("examples", []):
                    answer = server.http.request(method, path.replace("{run_id}", "example"), json=example)
                    assert answer.status_code == 200, (path, answer.text)
                    tried.append(path)
    assert sorted(tried) == sorted(
        [
            "/v1/score_group",
            "/v1/score_groups",
            "/v1/verify",
            "/v1/runs/{run_id}",
            "/get_reward",
        ]
    )
