"""As much of the AWS CLI as the documents use, for machines that have none: `aws SERVICE OPERATION --parameter VALUE …`.

Every parameter is checked by botocore's own model of the service. Text, lists of text and `file://` are known as values;
`--query` and `--output text` as options.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name


def main(arguments: Sequence[str]) -> int:
    """Run one command."""
    service, operation, *options = arguments
    given: dict[str, list[str]] = {}
    for option in options:
        if option.startswith("--"):
            given[option.removeprefix("--")] = []
        else:
            given[[*given][-1]].append(option)
    query, output = given.pop("query", None), given.pop("output", ["json"])
    made: Any = boto3.client(service)
    model = made.meta.service_model.operation_model(
        next(name for name in made.meta.service_model.operation_names if xform_name(name, "-") == operation)
    )
    members = {xform_name(name, "-"): (name, shape) for name, shape in model.input_shape.members.items()}
    parameters = {}
    for option, values in given.items():
        name, shape = members[option]
        read = [Path(value.removeprefix("file://")).read_text() if value.startswith("file://") else value for value in values]
        parameters[name] = read if shape.type_name == "list" else shape.type_name == "boolean" or read[0]
    answer = getattr(made, operation.replace("-", "_"))(**parameters)
    answer.pop("ResponseMetadata", None)
    chosen = jmespath.search(query[0], answer) if query else answer
    if output == ["text"]:
        text = "\t".join(map(str, chosen)) if isinstance(chosen, list) else str(chosen)
    else:
        text = json.dumps(chosen, indent=4, default=str)
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
