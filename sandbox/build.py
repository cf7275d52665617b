"""`sam build` for the local stack, and the checks that hold for every build.

`python -m sandbox.build [FOLDER] [ARCHITECTURE]` checks a build made by hand (.aws-sam/build, arm64); exit code 1 if it must
not be deployed.
"""

from __future__ import annotations

import importlib.util
import platform
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sandbox.processes import environment, run

ROOT = Path(__file__).resolve().parent.parent
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"

Architecture = Literal["arm64", "x86_64"]

# By the name of the template's parameter that switches the flow on. Its function, queues and outputs begin with it.
FLOWS = (
    "OrderActivation",
    "OrderItemUpdate",
    "Cancellation",
    "ProductUpsert",
    "PriceUpsert",
    "AccountUpsert",
    "Reconciliation",
)
# What has a queue and dead letters, by the name with which its function and its outputs begin.
QUEUES = (*FLOWS, "EventBus")
WEBHOOKS = ("SalesforceWebhookFunction", "StripeWebhookFunction")
# What a schedule starts.
CLOCKED = ("RollingWindowFunction", "PollFunction", "ReconciliationSweepFunction", "RecoveryFunction")
FUNCTIONS = (*WEBHOOKS, *(f"{name}Function" for name in QUEUES), *CLOCKED)
CONSOLIDATION_LAYER = "ConsolidationLayer"
DEPENDENCIES_LAYER = "DependenciesLayer"

# ELF: e_machine, two bytes at offset 18.
ELF_MACHINES: dict[int, Architecture] = {0x3E: "x86_64", 0xB7: "arm64"}
# Lambda: what a function and its layers may come to, unzipped.
UNZIPPED_LIMIT = 250 * 1024 * 1024
# PEP 552: bit 0 of the flags says that the file is bound to its source by hash, bit 1 that the hash is to be compared.
UNCHECKED_HASH = 0b01


def host_architecture() -> Architecture:
    """The architecture of this machine, as Lambda calls it: what runs here has to be built for it."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def build(folder: Path, *, architecture: Architecture, log: Path) -> Path:
    """Build template.yaml into `folder`/build; answers the path of the template that `sam deploy` takes.

    Layers that have not changed come from a cache in `folder`. Raises `StackError` if `sam build` fails.
    """
    target = folder / "build"
    command: list[str | Path] = [SAM, "build", "--template-file", ROOT / "template.yaml", "--build-dir", target]
    command += ["--cached", "--cache-dir", folder / "cache", "--parallel"]
    command += ["--parameter-overrides", f"Architecture={architecture}"]
    run(command, log=log, env=environment(SAM_CLI_TELEMETRY="0"), cwd=ROOT)
    return target / "template.yaml"


def check(folder: Path, architecture: Architecture) -> list[str]:
    """What is wrong with a build, one sentence each: bytecode missing or unfit, foreign binaries, missing parts, too large."""
    artifacts = [folder / name for name in (*FUNCTIONS, CONSOLIDATION_LAYER, DEPENDENCIES_LAYER)]
    problems = [f"{artifact}: is missing" for artifact in artifacts if not artifact.is_dir()]
    for artifact in artifacts:
        problems += _bytecode_problems(artifact)
        problems += _binary_problems(artifact, architecture)
    if size_of(folder, DEPENDENCIES_LAYER) == 0:
        problems.append(f"{DEPENDENCIES_LAYER}: is empty")
    shared = size_of(folder, CONSOLIDATION_LAYER) + size_of(folder, DEPENDENCIES_LAYER)
    for name in FUNCTIONS:
        if (total := shared + size_of(folder, name)) > UNZIPPED_LIMIT:
            problems.append(f"{name}: is {total / 2**20:.0f} MB with its layers, Lambda takes 250")
    return problems


def size_of(folder: Path, name: str) -> int:
    """Bytes of one artifact of a build, unzipped."""
    return sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())


def _bytecode_problems(artifact: Path) -> Iterator[str]:
    for source in artifact.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if not compiled.is_file():
            yield f"{source}: has no bytecode"
            continue
        header = compiled.read_bytes()[:8]
        if header[:4] != importlib.util.MAGIC_NUMBER:
            yield f"{compiled}: is the bytecode of another Python"
        elif struct.unpack("<I", header[4:])[0] != UNCHECKED_HASH:
            yield f"{compiled}: would be compared with its source at each import"


def _binary_problems(artifact: Path, architecture: Architecture) -> Iterator[str]:
    for binary in artifact.rglob("*.so*"):
        header = binary.read_bytes()[:20]
        machine = ELF_MACHINES.get(struct.unpack_from("<H", header, 18)[0]) if header[:4] == b"\x7fELF" else None
        if machine != architecture:
            yield f"{binary}: is for {machine or 'no processor that Lambda has'}, not {architecture}"


def main(arguments: list[str]) -> int:
    """Check the build named by `arguments`, print its sizes or its problems."""
    folder = Path(arguments[0]) if arguments else ROOT / ".aws-sam" / "build"
    architecture: Architecture = "x86_64" if arguments[1:] == ["x86_64"] else "arm64"
    problems = check(folder, architecture)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        for name in (*FUNCTIONS, CONSOLIDATION_LAYER, DEPENDENCIES_LAYER):
            print(f"{name}: {size_of(folder, name) / 2**20:.1f} MB, {architecture}, bytecode complete")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
