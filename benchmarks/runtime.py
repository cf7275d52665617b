"""A function in Lambda's own runtime: one execution environment, as a process on this machine.

The runtime interface emulator of the SAM CLI takes the invocations, AWS's `awslambdaric` runs the handler, and the interpreter
finds what it finds in Lambda: the function's code, its layers, and nothing else. Linux only, as the emulator is.

    with Runtime(code, layers, environment=variables, log=folder / "log") as function:
        answer = function.invoke(event)
        print(function.init_ms, function.peak_mb)
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from sandbox.build import ROOT, SAM, host_architecture
from sandbox.processes import StackError, environment, started, tail
from sandbox.stack import LocalStack

PYTHON = ROOT / ".tools" / "runtime" / "bin" / "python"
"""Has `awslambdaric` beside it, and nothing that a function uses."""

_LIBRARY = Path("lib") / "python3.13" / "site-packages"
_EMULATOR = SAM.parent.parent / _LIBRARY / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{host_architecture()}"
_INVOKE = "/2015-03-31/functions/function/invocations"
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_START_SECONDS = 10.0
_POLL_SECONDS = 0.01
_SCHEDULED = 2  # CPUCLOCK_SCHED: what the scheduler has counted, in nanoseconds


class Runtime:
    """One execution environment of a function, a context manager. It is initialised by its first invocation.

    code: the folder with the handler's module. layers: what is below /opt in Lambda, each a folder with `python/`.
    environment: the function's variables, with credentials and AWS_ENDPOINT_URL where it talks to AWS.
    log: takes what the function and the emulator write. timeout: in seconds, after which an invocation is killed.

    name: what the function is called, as its folder is.
    """

    def __init__(
        self,
        code: Path,
        layers: Sequence[Path] = (),
        *,
        environment: Mapping[str, str],
        log: Path,
        handler: str = "app.handler",
        timeout: int = 30,
    ) -> None:
        self.name = code.name
        self._code = code
        self._layers = layers
        self._environment = environment
        self._log = log
        self._handler = handler
        self._timeout = timeout
        self._closing = ExitStack()
        self._address = 0
        self._emulator = 0
        # The emulator panics at a second request while it works on one.
        self._one = Lock()

    def start(self) -> None:
        """Start the emulator and wait until it listens. Raises `StackError` if it does not."""
        if not PYTHON.exists():
            raise StackError(f"{PYTHON} is missing; run `make {PYTHON.parent.parent.relative_to(ROOT)}/.installed`")
        self._address, runtime_api = _free_ports()
        command: list[str | Path] = [_EMULATOR, "--log-level", "info"]
        command += ["--runtime-interface-emulator-address", f"127.0.0.1:{self._address}"]
        command += ["--runtime-api-address", f"127.0.0.1:{runtime_api}"]
        # -S: of the interpreter's own packages only the runtime's client is there, behind everything else.
        command += [PYTHON, "-S", "-m", "awslambdaric", self._handler]
        process = self._closing.enter_context(started(command, log=self._log, env=self._variables(), cwd=self._log.parent))
        self._emulator = process.pid
        self._wait_until_it_listens(process)

    def _variables(self) -> dict[str, str]:
        path = [self._code, *(layer / "python" for layer in self._layers), PYTHON.parent.parent / _LIBRARY]
        lambdas = {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._timeout),
            "AWS_REGION": "us-east-1",
            "LAMBDA_TASK_ROOT": str(self._code),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            # The runtime's Linux has no time zones.
            "PYTHONTZPATH": "",
        }
        return environment(**lambdas) | dict(self._environment)

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(round(_START_SECONDS / _POLL_SECONDS)):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._address), _START_SECONDS):
                return
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
                break
        raise StackError(f"Lambda's emulator did not start:\n{tail(self._log)}")

    def invoke(self, event: Any) -> Any:
        """The handler's answer to an event.

        Raises `StackError` with the log's end where the handler raises, is killed, or cannot be loaded.
        """
        with self._one:
            connection = http.client.HTTPConnection("127.0.0.1", self._address, timeout=self._timeout + _START_SECONDS)
            try:
                connection.request("POST", _INVOKE, body=json.dumps(event))
                reply = connection.getresponse()
                answer = json.loads(reply.read())
            finally:
                connection.close()
        # A handler that raises is answered like any other.
        if reply.status != HTTPStatus.OK or (isinstance(answer, dict) and "errorType" in answer):
            raise StackError(f"{self.name} answers {answer}:\n{tail(self._log)}")
        return answer

    def invoked(self, event: Any) -> tuple[Any, float]:
        """The handler's answer to an event, and the milliseconds until it was there."""
        began = time.perf_counter()
        return self.invoke(event), (time.perf_counter() - began) * 1000

    @property
    def init_ms(self) -> float:
        """How long INIT took, in milliseconds: the interpreter's start, the runtime's client, and the import of the handler.

        Raises `StackError` before the first invocation, and where the process was started more than once.
        """
        # The `Init Duration` of its REPORT line is not the duration of INIT.
        reports = _INIT.findall(self._log.read_text(errors="replace"))
        if len(reports) != 1:
            raise StackError(f"{self.name}: was initialised {len(reports)} times:\n{tail(self._log)}")
        return float(reports[0])

    @property
    def said(self) -> str:
        """What the function has logged so far, a JSON object on each line."""
        return "".join(line for line in self._log.read_text(errors="replace").splitlines(keepends=True) if line.startswith("{"))

    @property
    def pid(self) -> int:
        """The process that the handler runs in. Raises `StackError` before the first invocation."""
        # The emulator has threads, each with children of its own.
        for children in Path(f"/proc/{self._emulator}/task").glob("*/children"):
            for child in children.read_text().split():
                return int(child)
        raise StackError(f"{self.name}: no process runs:\n{tail(self._log)}")

    @property
    def processor_ms(self) -> float:
        """The processor time that the process has used so far, in milliseconds, also of threads that have ended."""
        # clock_getcpuclockid(3): Linux makes the id of another process's clock so.
        return time.clock_gettime((~self.pid << 3) | _SCHEDULED) * 1000

    @property
    def peak_mb(self) -> float:
        """The most memory that the process has had resident so far, in MB of 2**20 bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        return int(kilobytes) / 1024

    def stop(self) -> None:
        """End the function's process and the emulator."""
        # Its own process group: the emulator ends it only if it is given the time.
        with suppress(StackError, ProcessLookupError, FileNotFoundError):
            os.kill(self.pid, signal.SIGKILL)
        self._closing.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def variables(stack: LocalStack, function: str) -> dict[str, str]:
    """What a function of a local stack finds in its environment there, and the way to that stack's AWS and vendors."""
    deployed: dict[str, str] = stack.function(function)["Environment"]["Variables"]
    bundle = str(stack.local_aws.certificate.bundle)
    return stack.local_aws.environment() | {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle} | deployed


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
