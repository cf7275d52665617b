"""A service that answers what a test says, for what the emulators never do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sandbox.serving import Emulator, Request, Response


class Scripted(Emulator):
    """Answers each request with `answer(request)`, and keeps the requests."""

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        super().__init__()
        self._answer = answer
        self.requests: list[Request] = []

    def handle(self, request: Request) -> Response:
        self.requests.append(request)
        return self._answer(request)

    def errors(self) -> Mapping[str, Response]:
        return {}

    def reset(self) -> None:
        self.requests.clear()
