"""The local AWS: MiniStack in a process of its own, onto which the real template is deployed with the real `sam deploy`.

It checks IAM: a function whose role lacks a permission is refused here as it would be in an account.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import ssl
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from sandbox.build import ROOT, SAM
from sandbox.certificate import issue
from sandbox.processes import StackError, environment, run, started, tail

MINISTACK = ROOT / ".tools" / "aws" / "bin" / "ministack"
REGION = "us-east-1"
# MiniStack takes the holder of these for the account's root user. They open nothing but what runs on this machine.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
BUCKET = "artifacts"
START_SECONDS = 30.0
POLL_SECONDS = 0.05
_PORTS = range(20_000, 30_000)


class LocalAws:
    """One local AWS, empty when it starts. `folder` takes its logs, its certificate and its temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._closing = ExitStack()
        self._clients: dict[str, Any] = {}
        self.port = 0
        self.url = ""
        self._temporary = folder / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self.certificate = issue(self._temporary)

    def start(self) -> None:
        """Start it on a free loopback port and wait until it answers. Raises `StackError` if it does not."""
        self.port = _free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        log = self.folder / "ministack.log"
        process = self._closing.enter_context(
            started([MINISTACK], log=log, env=environment(**self._settings()), cwd=self.folder)
        )
        self._wait_until_ready(process, log)

    def _settings(self) -> dict[str, str]:
        bundle = str(self.certificate.bundle)
        return {
            **CREDENTIALS,
            "NO_PROXY": _no_proxy(),
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": "127.0.0.1",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            # Of what a test has it record. Its own 10,000 are over in a long run, and then the earliest are gone.
            "CLOUDTRAIL_MAX_EVENTS": "1000000",
            # It looks for containers of earlier runs otherwise, and we start none.
            "DOCKER_HOST": "unix:///dev/null",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(self.certificate.certificate),
            "MINISTACK_SSL_KEY": str(self.certificate.key),
            # The functions inherit these, so that they trust this AWS, and a real Stripe or Salesforce no less.
            "AWS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "TMPDIR": str(self._temporary),
        }

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        context = ssl.create_default_context(cafile=str(self.certificate.bundle))
        for _ in range(round(START_SECONDS / POLL_SECONDS)):
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=START_SECONDS)
            try:
                connection.request("GET", "/_ministack/ready")
                if connection.getresponse().status == HTTPStatus.OK:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            try:
                process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            break
        raise StackError(f"the local AWS did not start:\n{tail(log)}")

    def environment(self) -> dict[str, str]:
        """The variables with which any AWS tool talks to this AWS."""
        bundle = str(self.certificate.bundle)
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url, "AWS_CA_BUNDLE": bundle, "NO_PROXY": _no_proxy()}

    def client(self, service: str) -> Any:
        """The boto3 client of a service, such as `sqs`, as the account's root user."""
        if service not in self._clients:
            session: Any = boto3.Session(
                aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
                region_name=REGION,
            )
            self._clients[service] = session.client(
                service,
                endpoint_url=self.url,
                verify=str(self.certificate.bundle),
                # No proxy of the user's: it could not reach this machine's loopback address.
                config=Config(proxies={}, retries={"max_attempts": 2}),
            )
        return self._clients[service]

    def deploy(self, template: Path, *, stack: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """`sam deploy` what `sam build` has left in `template`'s folder; answers the stack's outputs. Raises `StackError`."""
        self.client("s3").create_bucket(Bucket=BUCKET)
        command: list[str | Path] = [SAM, "deploy", "--template-file", template, "--stack-name", stack, "--s3-bucket", BUCKET]
        command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"]
        command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
        settings = environment(**self.environment(), SAM_CLI_TELEMETRY="0", SAM_CLI_POLL_DELAY="0.2")
        run(command, log=self.folder / "sam-deploy.log", env=settings, cwd=ROOT)
        described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def stop(self) -> None:
        """End it and every function that it runs."""
        # First what we keep open: it would wait for that, and be killed.
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._closing.close()


def _no_proxy() -> str:
    # A proxy of the user's could not reach this machine's loopback address.
    return ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost"]))


def _free_port() -> int:
    """A port that nobody listens on, and that no system gives to a connection that goes out: it is bound a moment later."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StackError(f"every port from {_PORTS[0]} to {_PORTS[-1]} is taken")
