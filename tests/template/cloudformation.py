"""Reads template.yaml as the tests need it: CloudFormation's short forms spelled out, and SAM's resources translated."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sandbox.build import ROOT

TEMPLATE = ROOT / "template.yaml"
TRANSLATOR = ROOT / ".tools" / "sam" / "bin" / "python"

# Runs where the SAM CLI lives; the project's own environment has no translator.
TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform

class NoManagedPolicies:
    def load(self):
        return {}

json.dump(transform(json.load(sys.stdin), json.loads(sys.argv[1]), NoManagedPolicies()), sys.stdout)
"""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML comes without types
    """YAML with CloudFormation's tags."""


def _intrinsic(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            raise AssertionError(f"!{tag} with a mapping is not read here")
    if tag in ("Ref", "Condition"):
        return {tag: value}
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """The template, with `!Ref X` as `{"Ref": "X"}`, `!Condition` alike, and every other `!Tag` as `{"Fn::Tag": …}`."""
    loaded: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return loaded


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the resources of a type, by logical id."""
    return {name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == kind}


def translate(template: dict[str, Any], **parameters: str) -> dict[str, Any]:
    """What CloudFormation makes of the template: SAM's resources replaced by plain ones. Local code paths count as uploaded.

    parameters: their values, where they are not the defaults.
    """
    template = json.loads(json.dumps(template))
    for resource in template["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if isinstance(path := resource.get("Properties", {}).get(name), str) and not path.startswith("s3://"):
                resource["Properties"][name] = f"s3://artifacts/{path}"
    done = subprocess.run(
        [TRANSLATOR, "-W", "ignore", "-c", TRANSLATE, json.dumps(parameters)],
        input=json.dumps(template),
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert done.returncode == 0, done.stderr
    translated: dict[str, Any] = json.loads(done.stdout)
    return translated


def statements(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement of each role's own policies, with the role's logical id."""
    for name, role in of_type(template, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


def as_list(value: Any) -> list[Any]:
    """A value that CloudFormation lets stand for a list of one."""
    return value if isinstance(value, list) else [value]


def targets(value: Any) -> list[str]:
    """The logical ids that `!Ref X`, `!GetAtt X.Y` or a list of them name."""
    found = []
    for entry in as_list(value):
        if "Ref" in entry:
            found.append(entry["Ref"])
        elif "Fn::GetAtt" in entry:
            found.append(entry["Fn::GetAtt"][0])
        else:
            found.append(entry["Fn::Sub"])
    return found


def granted(template: dict[str, Any], role: str) -> dict[str, list[Any]]:
    """What a role may do: each action with the resources on which."""
    found: dict[str, list[Any]] = {}
    for statement in (statement for name, statement in statements(template) if name == role):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            found.setdefault(action, []).extend(as_list(statement["Resource"]))
    return found
