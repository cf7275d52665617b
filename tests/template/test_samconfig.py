"""samconfig.toml: an environment takes nothing from [default], so each has to say everything."""

from __future__ import annotations

import tomllib

import pytest

from sandbox.build import FLOWS, ROOT
from tests.template.cloudformation import load

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
ENVIRONMENTS = ["dev", "stage", "prod"]

environments = pytest.mark.parametrize("name", ENVIRONMENTS)


def test_the_environments_are_the_known_ones() -> None:
    assert [name for name in CONFIG if name not in ("version", "default")] == ENVIRONMENTS


@environments
def test_is_complete(name: str) -> None:
    environment = CONFIG[name]
    assert environment["global"]["parameters"]["stack_name"] == f"orderphase-{name}"
    assert environment["build"]["parameters"] == {"cached": True, "parallel": True}
    assert environment["validate"]["parameters"] == {"lint": True}
    assert environment["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    assert environment["deploy"]["parameters"]["fail_on_empty_changeset"] is False


def test_whoever_names_no_environment_is_asked_first() -> None:
    """Without an environment the stack keeps its parameters: here is what else `sam deploy` has to know, and no parameter."""
    assert CONFIG["default"]["deploy"]["parameters"] == {
        "capabilities": "CAPABILITY_IAM",
        "resolve_s3": True,
        "confirm_changeset": True,
        "fail_on_empty_changeset": False,
    }
    assert "parameter_overrides" not in CONFIG["default"]["global"]["parameters"]


@environments
def test_gives_build_and_deploy_the_same_parameters(name: str) -> None:
    overrides = dict(entry.split("=", 1) for entry in CONFIG[name]["global"]["parameters"]["parameter_overrides"])
    assert overrides["Stage"] == name
    assert overrides["Architecture"] in ("arm64", "x86_64")
    assert overrides.keys() <= load()["Parameters"].keys()
    for command in ("build", "deploy"):
        assert "parameter_overrides" not in CONFIG[name][command]["parameters"]


@environments
def test_every_flow_has_its_switch_here_and_is_off(name: str) -> None:
    overrides = CONFIG[name]["global"]["parameters"]["parameter_overrides"]
    switches = [*FLOWS, "Polling"]
    assert [entry for entry in overrides if entry.split("=")[0] in switches] == [f"{switch}=off" for switch in switches]


def test_production_asks_before_it_changes() -> None:
    confirmations = {name: CONFIG[name]["deploy"]["parameters"]["confirm_changeset"] for name in ENVIRONMENTS}
    assert confirmations == {"dev": False, "stage": False, "prod": True}


def test_no_account_is_named() -> None:
    text = (ROOT / "samconfig.toml").read_text() + (ROOT / "template.yaml").read_text()
    assert "arn:aws:iam::1" not in text
    assert not [word for word in text.split() if word.strip('":,').isdigit() and len(word.strip('":,')) == 12]
