"""The table of progress: documents that nobody overwrites unseen, and the suspicion of an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from orderphase.errors import ConflictError
from orderphase.store.progress import POLL, Progress, rewind_poll

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def progress(dynamodb: DynamoDBClient) -> Progress:
    return Progress(dynamodb, "progress")


def test_what_was_never_written_is_empty(progress: Progress) -> None:
    noted = progress.read("sweep")
    assert (noted.document, noted.version) == ({}, 0)


def test_a_document_comes_back_as_it_was_written(progress: Progress) -> None:
    progress.write("sweep", {"cursor": "800", "began": None}, 0)
    noted = progress.read("sweep")
    assert (noted.document, noted.version) == ({"cursor": "800", "began": None}, 1)
    assert progress.read("poll").document == {}


def test_of_two_writers_the_slower_one_is_told(progress: Progress) -> None:
    first, second = progress.read("sweep"), progress.read("sweep")
    progress.write("sweep", {"by": "first"}, first.version)
    with pytest.raises(ConflictError):
        progress.write("sweep", {"by": "second"}, second.version)
    assert progress.read("sweep").document == {"by": "first"}


def test_the_last_suspicion_counts(progress: Progress) -> None:
    assert progress.suspected_at() is None
    progress.suspect(NOON)
    progress.suspect(NOON + timedelta(seconds=30))
    assert progress.suspected_at() == NOON + timedelta(seconds=30)


class TestRewinding:
    def test_a_poll_that_is_further_looks_again(self, progress: Progress) -> None:
        progress.write(POLL, {"since": NOON.isoformat()}, 0)
        rewind_poll(progress, NOON - timedelta(hours=3))
        assert progress.read(POLL).document == {"since": (NOON - timedelta(hours=3)).isoformat()}

    def test_a_poll_that_is_not_there_yet_goes_on(self, progress: Progress) -> None:
        progress.write(POLL, {"since": NOON.isoformat()}, 0)
        rewind_poll(progress, NOON + timedelta(minutes=1))
        assert progress.read(POLL).version == 1

    def test_a_poll_that_has_never_run_begins_there(self, progress: Progress) -> None:
        rewind_poll(progress, NOON)
        assert progress.read(POLL).document == {"since": NOON.isoformat()}
