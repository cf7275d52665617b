"""The command line: `orderphase` and its commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from orderphase import __version__
from orderphase.cli import consolidate, plan, texts
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
    parser = argparse.ArgumentParser(
        prog="orderphase", description="Salesforce Orders become Stripe subscription schedules, and both sides stay in step."
    )
    parser.add_argument("--version", action="version", version=f"orderphase {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "consolidate",
        help="turn a snapshot (JSON) into phases and findings (JSON)",
        description="Reads a snapshot of one contract, as JSON, and prints the phases and findings that it becomes, as JSON. "
        "Nothing is sent anywhere. Exit code 0; 1 when a finding is an error; 2 when the input is not a snapshot.",
    )
    command.add_argument("file", nargs="?", default="-", metavar="FILE", help="the snapshot; standard input by default")
    command.set_defaults(run=consolidate.run)
    command = commands.add_parser(
        "plan",
        help="turn a snapshot and the schedule that there is (JSON) into the exact request to Stripe (JSON)",
        description=plan.DESCRIPTION,
        epilog=plan.INPUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", nargs="?", default="-", metavar="FILE", help="the snapshot; standard input by default")
    command.set_defaults(run=plan.run)
    command = commands.add_parser(
        "preview",
        help="show what would happen to an order's contract, read from the live systems",
        description="Reads an order's contract from Salesforce and its schedule from Stripe, and shows what the order "
        "activation would do now: a timeline, what changes, every finding, what is created first, the invoices to come and "
        "the exact request. Nothing is written. Exit code 0; 1 when a finding is an error; 2 when the order does not exist, "
        "nothing says where to look, or a system cannot be reached.",
        epilog="Where it looks: the function of --stack NAME; else the ORDERPHASE_ variables of that function, where all of "
        "them are set here; else the function of the stack that ORDERPHASE_STACK names; else the local stack that runs in "
        "this folder.",
    )
    command.add_argument("order_id", metavar="ORDER_ID", help="the Salesforce id of the order")
    command.add_argument("--stack", metavar="NAME", type=said, help="the deployed CloudFormation stack that would do it")
    command.add_argument("--svg", metavar="FILE", help="also draw the timeline, into FILE")
    command.add_argument("--json", action="store_true", help="print everything as JSON, amounts in major units")
    command.set_defaults(run=_preview)
    command = commands.add_parser(
        "doctor",
        help="check settings, secrets, the mapping, Salesforce and Stripe, and list everything that is missing",
        description=texts.DOCTOR,
        epilog=texts.DOCTOR_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--stack", metavar="NAME", type=said, help="the deployed CloudFormation stack that is checked")
    command.add_argument("--json", action="store_true", help="print what was found as JSON")
    command.set_defaults(run=_doctor)
    command = commands.add_parser(
        "import",
        help="bring everything that Stripe sells into the standard price book",
        description="Reads all products and active prices of the first Stripe account and the whole standard price book, and "
        "writes what differs: a Product2 for each product, a standard entry for each product and currency, 200 records a "
        "request. A record that Salesforce refuses is reported and does not stop the others. What is right already is left "
        "alone: after a crash, or once what was refused is corrected, the same command does the rest, and one more finds "
        "nothing to do. Exit code 0; 1 when something was refused; 2 when nothing says where to look, a system cannot be "
        "reached, or the mapping or a permission is at fault.",
    )
    command.add_argument("--stack", metavar="NAME", type=said, help="the deployed CloudFormation stack whose systems are meant")
    command.add_argument("--dry-run", action="store_true", help="write nothing, say what would be written")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=_import)
    _add_sync_log(commands)
    command = commands.add_parser(
        "replay",
        help="run again what failed and waits in the dead-letter queues",
        description=texts.REPLAY,
        epilog=texts.REPLAY_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--stack", metavar="NAME", type=said, help="the deployed CloudFormation stack whose queues are meant")
    command.add_argument(
        "--flow", metavar="FLOW", type=said, help="only this flow, as the template calls it, such as OrderActivation"
    )
    command.add_argument(
        "--record", metavar="ID", type=said, help="only what is about this order, contract, line, product or other record"
    )
    command.add_argument("--dry-run", action="store_true", help="replay nothing, list what waits")
    command.add_argument("--json", action="store_true", help="print the list as JSON")
    command.set_defaults(run=_replay)
    command = commands.add_parser(
        "backfill",
        help="look at every contract that is billed and that no run has looked at since it was changed",
        description="Finds every contract with lines of activated orders that are not over, of those the ones that no run has "
        "looked at since their last change, and queues them to be reconciled, some a minute: what was sold before Orderphase "
        "was there, or while it did not hear of it, gets its schedule. What is as it should be is left alone. Cut off, the "
        "same command goes on; when all is done, it finds nothing. Exit code 0; 2 when reconciliation is off in the stack, "
        "nothing says where to look, or a system cannot be reached.",
        epilog="Where it looks: as orderphase replay. A contract that Stripe bills already by a schedule that Salesforce does "
        "not name would get another one: enter that schedule's id on the Contract beforehand, or set the template's parameter "
        "AdoptExisting to on, by which it is looked for and the dry run says what would become of each contract. Look at a few "
        "orders with orderphase preview.",
    )
    command.add_argument("--stack", metavar="NAME", type=said, help="the deployed CloudFormation stack that would do it")
    command.add_argument("--dry-run", action="store_true", help="queue nothing, say how many and which")
    command.add_argument("--rate", metavar="N", type=whole_number, default=60, help="contracts a minute (default 60)")
    command.add_argument("--limit", metavar="N", type=whole_number, help="queue no more than so many")
    command.add_argument("--json", action="store_true", help="print the result as JSON, at the end")
    command.set_defaults(run=_backfill)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (OrderphaseError, OSError) as problem:
        write_error(str(problem))
        return UNUSABLE
    except KeyboardInterrupt:
        write_error("stopped")
        return _STOPPED


def _add_sync_log(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "sync-log",
        help="show what the runs have done and why",
        description=texts.SYNC_LOG,
        epilog=texts.SYNC_LOG_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--stack", metavar="NAME", type=said, help="the deployed CloudFormation stack whose log is meant")
    command.add_argument("--order", metavar="ID", type=record_id, help="only runs about this order, or other record")
    command.add_argument("--contract", metavar="ID", type=record_id, help="only runs about this contract")
    command.add_argument("--outcome", choices=OUTCOMES, help="only runs that have come to this")
    command.add_argument(
        "--flow", metavar="FLOW", type=said, help="only this flow, as the template calls it, such as OrderActivation"
    )
    command.add_argument("--since", metavar="TIME", type=moment, help="only runs that began then or later")
    command.add_argument("--until", metavar="TIME", type=moment, help="only runs that began before that")
    command.add_argument("--limit", metavar="N", type=whole_number, default=50, help="the latest N at most (default 50)")
    command.add_argument("--json", action="store_true", help="print whole entries as JSON, with their findings")
    command.set_defaults(run=_sync_log)


def _preview(options: argparse.Namespace) -> int:
    from orderphase.cli.preview import run  # noqa: PLC0415 (the SDKs of three systems; the offline commands need none of them)

    return run(options)


def _doctor(options: argparse.Namespace) -> int:
    from orderphase.cli.doctor import run  # noqa: PLC0415 (as above)

    return run(options)


def _import(options: argparse.Namespace) -> int:
    from orderphase.cli.import_catalogue import run  # noqa: PLC0415 (as above)

    return run(options)


def _backfill(options: argparse.Namespace) -> int:
    from orderphase.cli.backfill import run  # noqa: PLC0415 (as above)

    return run(options)


def _replay(options: argparse.Namespace) -> int:
    from orderphase.cli.replay import run  # noqa: PLC0415 (as above)

    return run(options)


def _sync_log(options: argparse.Namespace) -> int:
    from orderphase.cli.sync_log import run  # noqa: PLC0415 (as above)

    return run(options)
