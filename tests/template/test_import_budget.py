"""What each function loads before its first event, with its layers and nothing else: within a budget, and fit for a snapshot.

Modules are counted, not milliseconds: that is the same on every machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from sandbox.build import CLOCKED, CONSOLIDATION_LAYER, DEPENDENCIES_LAYER, FUNCTIONS, WEBHOOKS, build, host_architecture

# What every function takes: AWS, validation, log and metrics.
BASE = {
    "annotated_types": 1,
    "aws_lambda_powertools": 42,
    "boto3": 26,
    "botocore": 74,
    "certifi": 2,
    "dateutil": 11,
    "jmespath": 8,
    "orderphase": 24,
    "pydantic": 42,
    "pydantic_core": 3,
    "s3transfer": 13,
    "six": 2,
    "typing_extensions": 1,
    "typing_inspection": 3,
    "urllib3": 28,
    # Patch versions of Python differ by one or two.
    "the standard library": 180,
}
# What has been accepted, and the secrets that senders share with us.
EDGE = BASE | {"aws_lambda_powertools": 70, "boto3": 29}
# simple-salesforce loads SOAP and JWT, whatever is done with it.
SALESFORCE = BASE | {
    "_cffi_backend": 1,
    "_openssl": 2,
    "attr": 13,
    "aws_lambda_powertools": 52,
    "boto3": 28,
    "charset_normalizer": 9,
    "cryptography": 49,
    "idna": 5,
    "isodate": 11,
    "jwt": 11,
    "lxml": 3,
    "more_itertools": 3,
    "orderphase": 45,
    "requests": 69,
    "requests_file": 1,
    "simple_salesforce": 10,
    "the standard library": 214,
    "zeep": 39,
}
FLOW = SALESFORCE | {"boto3": 29, "orderphase": 89, "stripe": 16, "the standard library": 244}
BUDGETS: dict[str, dict[str, int]] = {
    **dict.fromkeys(FUNCTIONS, FLOW),
    # An Outbound Message is XML.
    "SalesforceWebhookFunction": EDGE | {"the standard library": 184},
    "StripeWebhookFunction": EDGE | {"orderphase": 23},
    "EventBusFunction": EDGE | {"orderphase": 32},
    "RollingWindowFunction": BASE | {"orderphase": 38},
    "ReconciliationSweepFunction": BASE | {"orderphase": 38},
    "RecoveryFunction": BASE | {"boto3": 28, "orderphase": 34},
    "PollFunction": SALESFORCE,
}

VENDORS = ("stripe", "simple_salesforce", "zeep", "lxml", "cryptography", "jwt", "requests")
# What extension modules register beside themselves, and multiprocessing for the main module.
NO_MODULES = ("_cython_", "cython_runtime", "__mp_main__")
NOT_OURS = ("aws_xray_sdk", "moto", "pytest")
FORBIDDEN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(FUNCTIONS, NOT_OURS),
    **dict.fromkeys((*WEBHOOKS, "EventBusFunction", *CLOCKED), (*VENDORS, *NOT_OURS)),
    "PollFunction": ("stripe", *NOT_OURS),
}

# Loads a handler and tells which modules that took, and what would be wrong in a snapshot of it. What the standard library and
# the packages do by themselves, before they are asked for anything, is passed over where it is known to do no harm.
LOAD = """
import json, os, sys
before = set(sys.modules)
if "watch" in sys.argv:
    import random, socket, threading
    before = set(sys.modules)
    done, registered = [], []
    told = {
        "Random.getrandbits", "Random.random", "Random.seed", "date.today", "datetime.now", "datetime.utcnow", "getrandom",
        "gmtime", "localtime", "monotonic", "perf_counter", "time", "time_ns", "urandom",
    }
    def asker(frame):
        while frame.f_globals.get("__name__") in ("random", "secrets", "socket", "uuid"):
            frame = frame.f_back
        return frame.f_globals.get("__name__", "")
    def called(frame, event, function):
        if event == "c_call" and function.__qualname__ in told:
            done.append((function.__qualname__, asker(frame)))
    def audited(event, args):
        if event in ("socket.__new__", "socket.connect"):
            done.append((event, asker(sys._getframe(1))))
    sys.addaudithook(audited)
    hooks = type(sys)("snapshot_restore_py")
    hooks.register_after_restore = registered.append
    sys.modules["snapshot_restore_py"] = hooks
    sys.setprofile(called)
import app
sys.setprofile(None)
loaded = sorted(set(sys.modules) - before - {"app", "snapshot_restore_py"})
answer = {"loaded": loaded}
if "watch" in sys.argv:
    seen = sorted(set(done))
    import boto3, gc
    folder = "/proc/self/fd"
    descriptors = [os.readlink(f"{folder}/{n}") for n in os.listdir(folder) if os.path.lexists(f"{folder}/{n}")]
    random.seed(1)
    drawn = random.random()
    random.seed(1)
    for hook in registered:
        hook()
    answer |= {
        "done": seen,
        "sockets": [name for name in descriptors if name.startswith("socket:")],
        "threads": threading.active_count(),
        "session": repr(boto3.DEFAULT_SESSION),
        "drawn_again": random.random() == drawn,
        "collecting": gc.isenabled(),
    }
print(json.dumps(answer))
"""
HARMLESS = {
    # What years of two digits mean.
    ("localtime", "dateutil.parser._parser"),
    # For drawing samples, which nobody does; simple-salesforce loads it.
    ("Random.seed", "more_itertools.recipes"),
    # The key of connections that nothing of ours opens; s3transfer loads it.
    ("urandom", "multiprocessing.process"),
    # What `relativeCreated` counts from, which is not logged.
    ("time_ns", "logging"),
    # Whether there is IPv6: it is closed at once.
    ("socket.__new__", "urllib3.util.connection"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imports")
    return build(folder, architecture=host_architecture(), log=folder / "log").parent


def load(built: Path, code: Path, *arguments: str) -> dict[str, Any]:
    """Load the handler in `code` with the layers alone (-S: without this environment's own packages)."""
    path = [code, *(built / layer / "python" for layer in (CONSOLIDATION_LAYER, DEPENDENCIES_LAYER))]
    done = subprocess.run(
        [sys.executable, "-S", "-c", LOAD, *arguments],
        env={"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONTZPATH": "", "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def package(module: str) -> str:
    """What a module is counted under."""
    first = module.split(".", maxsplit=1)[0]
    return "the standard library" if first in sys.stdlib_module_names else first


def over_budget(function: str, loaded: list[str]) -> dict[str, list[str]]:
    """The modules of each package that has more of them than the function's budget, or none there; small helpers count too."""
    found = defaultdict(list)
    for module in loaded:
        if not module.startswith(NO_MODULES):
            found[package(module)].append(module)
    budget = BUDGETS[function]
    return {name: modules for name, modules in found.items() if len(modules) > budget.get(name, 0)}


def forbidden(function: str, loaded: list[str]) -> set[str]:
    """What is loaded of what the function has no use for."""
    return {package(module) for module in loaded} & set(FORBIDDEN[function])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_loads_no_more_than_its_budget(function: str, built: Path) -> None:
    loaded = load(built, built / function)["loaded"]
    assert forbidden(function, loaded) == set()
    assert over_budget(function, loaded) == {}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_budget_is_not_far_from_what_is_loaded(function: str, built: Path) -> None:
    loaded = load(built, built / function)["loaded"]
    assert len(loaded) > sum(BUDGETS[function].values()) - 5


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_loaded_may_be_shared_by_many_environments(function: str, built: Path) -> None:
    told = load(built, built / function, "watch")
    assert {(what, who) for what, who in told["done"]} <= HARMLESS
    assert told["sockets"] == []
    assert told["threads"] == 1
    # Neither clients nor credentials: the first of either makes the session.
    assert told["session"] == "None"
    assert told["drawn_again"] is False
    assert told["collecting"] is True


class TestTheBudgetItself:
    """A function that loads more is found out."""

    def changed(self, built: Path, folder: Path, function: str, line: str) -> dict[str, Any]:
        code = Path(shutil.copytree(built / function, folder / function, ignore=shutil.ignore_patterns("__pycache__")))
        app = code / "app.py"
        app.write_text(app.read_text() + f"\n{line}\n")
        return load(built, code, "watch")

    def test_a_vendor_s_library_in_a_webhook(self, built: Path, tmp_path: Path) -> None:
        loaded = self.changed(built, tmp_path, "StripeWebhookFunction", "import stripe")["loaded"]
        assert forbidden("StripeWebhookFunction", loaded) == {"stripe", "requests"}
        assert "stripe._api_mode" in over_budget("StripeWebhookFunction", loaded)["stripe"]

    def test_one_more_module(self, built: Path, tmp_path: Path) -> None:
        loaded = self.changed(built, tmp_path, "RollingWindowFunction", "import orderphase.timeline.svg")["loaded"]
        assert "orderphase.timeline.svg" in over_budget("RollingWindowFunction", loaded)["orderphase"]

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("import uuid; run = uuid.uuid4()", "done"),
            ("import secrets; run = secrets.token_hex()", "done"),
            ("import random; jitter = random.Random()", "done"),
            ("import random; jitter = random.randrange(9)", "done"),
            ("import time; began = time.time()", "done"),
            ("import datetime; began = datetime.datetime.now()", "done"),
            ("import datetime\nclass Job:\n    began = datetime.datetime.now().timestamp()", "done"),
            ("import socket; line = socket.socket()", "sockets"),
            ("import boto3; client = boto3.client('sqs')", "session"),
        ],
    )
    def test_what_would_be_shared(self, line: str, what: str, built: Path, tmp_path: Path) -> None:
        sound = load(built, built / "PollFunction", "watch")
        assert self.changed(built, tmp_path, "PollFunction", line)[what] != sound[what]
