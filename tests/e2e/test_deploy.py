"""What is under `deploy/`, as far as it can be checked without a container engine."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.helm import helm, parsed
from support.pages import ROOT

from moldau.broker.config.acting import options_of
from moldau.broker.config.settings import Settings
from moldau.broker.options import ANY_NODE_ID

pytestmark = pytest.mark.slow

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "moldau"
STORES = ("--set", "metadata.url=postgresql://u:p@pg/moldau,blobs.url=s3://bucket/prefix")
ADDRESSES = {"$(POD_IP)": "10.1.2.3", "$(NODE_IP)": "192.168.7.7"}


def rendered(folder: Path, *arguments: str) -> dict[str, Any]:
    """Kind to the object of the chart."""
    done = helm("template", "demo", str(CHART), *arguments)
    assert done.returncode == 0, done.stderr
    texts = [text for text in re.split(r"^---$", done.stdout, flags=re.MULTILINE) if text.strip()]
    objects = [parsed(text, folder) for text in texts]
    assert len({each["kind"] for each in objects}) == len(objects)
    for each in objects:
        assert each["metadata"]["name"].startswith("demo-moldau"), each
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"
    return {each["kind"]: each for each in objects}


def broker_of(objects: dict[str, Any]) -> dict[str, Any]:
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def settings_of(objects: dict[str, Any], folder: Path) -> Settings:
    """As the broker in the pod would have them."""
    env = {}
    for each in broker_of(objects)["env"]:
        value = each.get("value") or {
            "MOLDAU_METADATA_URL": "postgresql://u:p@pg/moldau",
            "MOLDAU_BROKER_RACK": "zone-a",
        }.get(each["name"], "")
        for name, address in ADDRESSES.items():
            value = value.replace(name, address if "[" not in value else "fd00::7")
        env[each["name"]] = value
    properties = folder / "server.properties"
    properties.write_text(objects["ConfigMap"]["data"]["server.properties"])
    return Settings.load(properties, env=env)


def advertised(settings: Settings) -> dict[str, str]:
    return dict(each.split("://") for each in settings.get_list("advertised.listeners"))


# -- Kubernetes ------------------------------------------------------------------------------------------------------------


def test_the_chart_is_clean() -> None:
    done = helm("lint", "--strict", str(CHART), *STORES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_chart_makes(tmp_path: Path) -> None:
    objects = rendered(tmp_path, *STORES, "--set-string", r"settings.num\.partitions=6")
    assert set(objects) == {
        "ConfigMap", "Deployment", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount"
    }  # fmt: skip
    broker = broker_of(objects)
    settings = settings_of(objects, tmp_path)
    options = options_of(settings)
    assert options.node_id == ANY_NODE_ID
    assert options.rack == "zone-a"
    assert options.num_partitions == 6
    assert options.blobs_url == "s3://bucket/prefix"
    assert advertised(settings) == {"INSIDE": "10.1.2.3:9092"}
    ports = {each["name"]: each["containerPort"] for each in broker["ports"]}
    assert ports == {"kafka": 9092, "http": options.http_port}
    assert options.http_host == "0.0.0.0"
    assert broker["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert broker["livenessProbe"]["httpGet"]["path"] == "/healthz"
    spec = objects["Deployment"]["spec"]
    pod = spec["template"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert objects["Service"]["spec"]["selector"] == spec["selector"]["matchLabels"]
    assert objects["PodDisruptionBudget"]["spec"]["selector"] == spec["selector"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert objects["Secret"]["stringData"] == {"url": "postgresql://u:p@pg/moldau"}
    (secret,) = [each["valueFrom"]["secretKeyRef"] for each in broker["env"] if each["name"] == "MOLDAU_METADATA_URL"]
    assert secret == {"name": objects["Secret"]["metadata"]["name"], "key": "url"}
    assert "u:p" not in str({kind: each for kind, each in objects.items() if kind != "Secret"})


def test_clients_outside_are_told_the_node(tmp_path: Path) -> None:
    objects = rendered(tmp_path, *STORES, "--set", "external.enabled=true")
    settings = settings_of(objects, tmp_path)
    assert advertised(settings) == {"INSIDE": "10.1.2.3:9092", "OUTSIDE": "192.168.7.7:19092"}
    assert {"name": "kafka-outside", "containerPort": 19092, "hostPort": 19092} in broker_of(objects)["ports"]
    # a new pod could not have the port while the old one lives
    strategy = objects["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 0, "maxUnavailable": 1}


def test_ipv6_secrets_that_are_there_and_a_network_policy(tmp_path: Path) -> None:
    objects = rendered(
        tmp_path,
        *("--set", "metadata.existingSecret=pg,metadata.key=uri,blobs.url=s3://b/p,blobs.existingSecret=s3keys"),
        *("--set", "ipv6=true,external.enabled=true,networkPolicy.enabled=true,serviceAccount.create=false"),
        *("--set-json", 'networkPolicy.from=[{"podSelector":{}}]'),
    )
    assert "Secret" not in objects
    assert "ServiceAccount" not in objects
    settings = settings_of(objects, tmp_path)
    assert advertised(settings)["OUTSIDE"] == "[fd00::7]:19092"
    assert options_of(settings).http_host == "::"
    assert broker_of(objects)["envFrom"] == [{"secretRef": {"name": "s3keys"}}]
    (rule,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert len(rule["from"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give metadata.url, or metadata.existingSecret"),
        (("--set", "metadata.url=postgresql://x"), "give blobs.url"),
        ((*STORES, "--set", "blobs.url=file:///x"), "blobs/url"),
        ((*STORES, "--set", "metadata.url=mysql://x"), "metadata/url"),
        ((*STORES, "--set", r"settings.node\.id=4"), "settings.node.id: the chart sets it itself"),
        ((*STORES, "--set", "replica=4"), "additional properties 'replica' not allowed"),
    ],
)
def test_values_that_cannot_be(arguments: tuple[str, ...], told: str) -> None:
    done = helm("template", "demo", str(CHART), *arguments)
    assert done.returncode != 0
    assert told in done.stderr


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    """Helm reads numbers as floats: a large one must not come out as 6.048e+08."""
    (tmp_path / "values.yaml").write_text(
        "settings:\n  log.retention.ms: 604800000\n  auto.create.topics.enable: false\n"
    )
    objects = rendered(tmp_path, *STORES, "--values", str(tmp_path / "values.yaml"))
    settings = settings_of(objects, tmp_path)
    assert settings["log.retention.ms"] == 604_800_000
    assert settings["auto.create.topics.enable"] is False


# -- Compose and the image -------------------------------------------------------------------------------------------------


def test_compose_file(tmp_path: Path) -> None:
    compose = parsed((DEPLOY / "compose.yaml").read_text(), tmp_path)
    services = compose["services"]
    assert set(services) == {"postgres", "minio", "broker-1", "broker-2", "broker-3"}
    assert all(":" in services[name]["image"] for name in ("postgres", "minio"))
    assert set(compose["volumes"]) == {"postgres", "minio"}
    for number in (1, 2, 3):
        service = services[f"broker-{number}"]
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()
        env = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in service["environment"].items()}
        settings = Settings.load(env={**image_env(), **env})
        assert options_of(settings).node_id == number
        told = advertised(settings)
        assert told["INSIDE"] == f"broker-{number}:29092"
        port = told["HOST"].removeprefix("127.0.0.1:")
        assert f"127.0.0.1:{port}:{port}" in service["ports"]
        assert f"HOST://0.0.0.0:{port}" in settings.get_list("listeners")
        assert all(each.startswith("127.0.0.1:") for each in service["ports"])


def dockerfile() -> list[str]:
    """Its instructions, each as one line."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def image_env() -> dict[str, str]:
    (line,) = [line for line in dockerfile() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for pair in line.removeprefix("ENV ").split())


def test_what_the_image_is_made_of_is_there() -> None:
    copied = [line.split()[1:-1] for line in dockerfile() if line.startswith("COPY ") and "--from" not in line]
    sources = [source for line in copied for source in line]
    assert "pyproject.toml" in sources
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), f"{source} is ignored"
    assert any(line.startswith("USER 10001") for line in dockerfile())


def test_the_image_begins_with_settings_that_are_right() -> None:
    settings = Settings.load(env=image_env())
    options = options_of(settings)
    assert settings.data_dir == Path("/data")
    assert advertised(settings) == {"PLAINTEXT": "127.0.0.1:9092"}
    (check,) = [line for line in dockerfile() if line.startswith("HEALTHCHECK ")]
    assert f"http://127.0.0.1:{options.http_port}/readyz" in check


def test_the_bucket_keeps_its_objects() -> None:
    """Only uploads that broke off, old versions, and delete markers without a version may go."""
    rules = json.loads((DEPLOY / "s3-lifecycle.json").read_text())["Rules"]
    harmless = {"AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration", "Expiration"}
    for rule in rules:
        actions = set(rule) - {"ID", "Status", "Filter"}
        assert actions
        assert actions <= harmless
        assert set(rule.get("Expiration", {})) <= {"ExpiredObjectDeleteMarker"}


# -- systemd ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_units(unit: Path, tmp_path: Path) -> None:
    """Their command line is one that moldau takes, and systemd finds nothing wrong."""
    text = unit.read_text()
    (line,) = re.findall(r"^ExecStart=/opt/moldau/bin/moldau (.*)$", text, re.MULTILINE)
    from moldau.cli.main import root

    command = root.get_command(None, line.split()[0])  # type: ignore[arg-type]
    assert command is not None
    (tmp_path / "server.properties").write_text("")
    command.make_context("moldau", line.replace("/etc/moldau", str(tmp_path)).split()[1:])
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    here = tmp_path / unit.name
    here.write_text(text.replace("/opt/moldau/bin/moldau", sys.executable).replace("User=moldau", "User=root"))
    done = subprocess.run([program, "verify", str(here)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_shows_the_unit() -> None:
    assert (DEPLOY / "systemd" / "moldau.service").read_text() in (ROOT / "docs" / "operations.md").read_text()
