"""The command line: `orderphase` and its commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from orderphase import __version__
from orderphase.cli import texts
from orderphase.cli.arguments import moment, record_id, said, whole_number
from orderphase.cli.streams import UNUSABLE, write_error
from orderphase.errors import OrderphaseError

OUTCOMES = ("synced", "unchanged", "failed", "skipped", "interrupted")
"""What a run may come to, as the sync log says it."""

_STOPPED = 130
"""What a shell answers for a command that Ctrl-C has ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Answers 0; 1 where a finding is an error; 2, with a message on stderr, where the input is unusable; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        # A command's module is loaded when it runs: some need the SDKs of three systems, the offline ones none.
        return int(import_module(f"orderphase.cli.{options.module}").run(options))
    except (OrderphaseError, OSError) as problem:
        write_error(str(problem))
        return UNUSABLE
    except KeyboardInterrupt:
        write_error("stopped")
        return _STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orderphase", description="Salesforce Orders become Stripe subscription schedules, and both sides stay in step."
    )
    parser.add_argument("--version", action="version", version=f"orderphase {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, summary: str, description: str, more: str, *, module: str | None = None) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=summary, description=description, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.set_defaults(module=module or name)
        return command

    def add_live(name: str, summary: str, description: str, more: str, **options: str) -> argparse.ArgumentParser:
        command = add(name, summary, description, more, module=options.get("module"))
        command.add_argument("--stack", metavar="NAME", type=said, help=f"the deployed CloudFormation stack {options['stack']}")
        command.add_argument("--json", action="store_true", help=f"print {options['json']}")
        return command

    for command in (
        add("consolidate", "turn a snapshot (JSON) into phases and findings (JSON)", texts.CONSOLIDATE, texts.CONSOLIDATE_MORE),
        add(
            "plan",
            "turn a snapshot and the schedule that there is (JSON) into the exact request to Stripe (JSON)",
            texts.PLAN,
            texts.PLAN_MORE,
        ),
    ):
        command.add_argument("file", nargs="?", default="-", metavar="FILE", help="the snapshot; standard input by default")

    preview = add_live(
        "preview",
        "show what would happen to an order's contract, read from the live systems",
        texts.PREVIEW,
        texts.PREVIEW_MORE,
        stack="that would do it",
        json="everything as JSON, amounts in major units",
    )
    preview.add_argument("order_id", metavar="ORDER_ID", help="the Salesforce id of the order")
    preview.add_argument("--svg", metavar="FILE", help="also draw the timeline, into FILE")

    add_live(
        "doctor",
        "check settings, secrets, the mapping, Salesforce and Stripe, and list everything that is missing",
        texts.DOCTOR,
        texts.DOCTOR_MORE,
        stack="that is checked",
        json="what was found as JSON",
    )

    imported = add_live(
        "import",
        "bring everything that Stripe sells into the standard price book",
        texts.IMPORT,
        texts.IMPORT_MORE,
        module="import_catalogue",
        stack="whose systems are meant",
        json="the result as JSON",
    )
    imported.add_argument("--dry-run", action="store_true", help="write nothing, say what would be written")

    log = add_live(
        "sync-log",
        "show what the runs have done and why",
        texts.SYNC_LOG,
        texts.SYNC_LOG_MORE,
        module="sync_log",
        stack="whose log is meant",
        json="whole entries as JSON, with their findings",
    )
    log.add_argument("--order", metavar="ID", type=record_id, help="only runs about this order, or other record")
    log.add_argument("--contract", metavar="ID", type=record_id, help="only runs about this contract")
    log.add_argument("--outcome", choices=OUTCOMES, help="only runs that have come to this")
    log.add_argument("--since", metavar="TIME", type=moment, help="only runs that began then or later")
    log.add_argument("--until", metavar="TIME", type=moment, help="only runs that began before that")
    log.add_argument("--limit", metavar="N", type=whole_number, default=50, help="the latest N at most (default 50)")

    replay = add_live(
        "replay",
        "run again what failed and waits in the dead-letter queues",
        texts.REPLAY,
        texts.REPLAY_MORE,
        stack="whose queues are meant",
        json="the list as JSON",
    )
    replay.add_argument(
        "--record", metavar="ID", type=said, help="only what is about this order, contract, line, product or other record"
    )
    replay.add_argument("--dry-run", action="store_true", help="replay nothing, list what waits")
    for command in (log, replay):
        command.add_argument(
            "--flow", metavar="FLOW", type=said, help="only this flow, as the template calls it, such as OrderActivation"
        )

    backfill = add_live(
        "backfill",
        "look at every contract that is to be billed and that no run has looked at since it was changed",
        texts.BACKFILL,
        texts.BACKFILL_MORE,
        stack="that would do it",
        json="the result as JSON, at the end",
    )
    backfill.add_argument("--dry-run", action="store_true", help="queue nothing, say how many and which")
    backfill.add_argument("--rate", metavar="N", type=whole_number, default=60, help="contracts a minute (default 60)")
    backfill.add_argument("--limit", metavar="N", type=whole_number, help="queue no more than so many")
    return parser
