"""What `--help` says of the commands that look at live systems: what each does, where it looks, examples, exit codes."""

from __future__ import annotations

_STACK = """\
Where it looks:
  the CloudFormation stack of --stack NAME; else the one that ORDERPHASE_STACK names; else the local
  stack that runs in this folder (make local). AWS is called with the credentials that any AWS tool finds."""

_FUNCTION = """\
Where it looks:
  the function of the stack of --stack NAME; else the ORDERPHASE_ variables of that function, where all of
  them are set here; else the function of the stack that ORDERPHASE_STACK names; else the local stack that
  runs in this folder (make local)."""

CONSOLIDATE = """\
Reads a snapshot of one contract, as JSON, and prints the phases and findings that it becomes, as JSON.
Nothing is sent anywhere."""

CONSOLIDATE_MORE = """\
Examples:
  a file:            orderphase consolidate docs/example-snapshot.json
  what is piped in:  jq .snapshot case.json | orderphase consolidate

Exit codes:
  0  there are phases
  1  a finding is an error
  2  the input is not a snapshot"""

PLAN = """\
Reads a snapshot of one contract and the subscription schedule that Stripe holds for it, as JSON, and prints
what is to be done: {"action", "params", "phases", "findings"}. `params` is the exact request; `action` is
create, update, cancel or nothing. Nothing is sent anywhere."""

PLAN_MORE = """\
Beside what `orderphase consolidate` reads, the snapshot has:
  "now"           when it is done, e.g. "2025-03-01T00:00:00Z"; required
  "schedule"      Stripe's subscription schedule object, expanded or not; null or absent where there is none
  "cancellation"  {"mode": "now" | "at_period_end" | "on_date", "date", "invoice_now", "prorate"}, where one
                  is asked for
  "account"       the Account with the id of its Stripe customer, whom a new schedule bills
  "org_id"        the org's id, for the metadata

Orders without ActivatedDate beside others that have one are drafts: they are not billed. What the request
names that does not exist yet stands there under its Salesforce id; a customer that does not exist yet is
left out.

Example:
  orderphase plan docs/example-plan.json

Exit codes:
  0  it can be done, or there is nothing to do
  1  a finding is an error
  2  the input cannot be used"""

PREVIEW = """\
Reads an order's contract from Salesforce and its schedule from Stripe, and shows what the order activation
would do now: a timeline, what changes, every finding, what is created first, the invoices to come and the
exact request. An order that is a draft is shown as if it were activated.

Nothing is written."""

PREVIEW_MORE = f"""\
{_FUNCTION}

Examples:
  before an order is activated:   orderphase preview 801000000000002AAA --stack orderphase-prod
  to show to somebody:            orderphase preview 801000000000002AAA --svg order.svg

Exit codes:
  0  it can be billed
  1  a finding is an error
  2  the order does not exist, nothing says where to look, or a system cannot be reached"""

IMPORT = """\
Reads all products and active prices of the first Stripe account and the whole standard price book, and
writes what differs: a Product2 for each product, a standard entry for each product and currency, 200
records a request. A record that Salesforce refuses is reported and does not stop the others.

What is right already is left alone: after a crash, or once what was refused is corrected, the same command
does the rest, and one more finds nothing to do."""

IMPORT_MORE = f"""\
{_FUNCTION}

Examples:
  look first:    orderphase import --stack orderphase-prod --dry-run
  then do it:    orderphase import --stack orderphase-prod

Exit codes:
  0  the price book says what Stripe sells
  1  something was refused
  2  nothing says where to look, a system cannot be reached, or the mapping or a permission is at fault"""

SYNC_LOG = """\
Shows what the runs of a deployment have done and why: one entry for each run of a flow, newest first.
A run is synced (Stripe has what was sold, and Salesforce knows), unchanged (there was nothing to do),
failed (the data has to change first; the message says what, where and how), skipped (its event did not
apply any more) or interrupted (something was in the way; the message is tried again by itself).

Nothing is written. Without --order and --contract, the last day is shown."""

SYNC_LOG_MORE = f"""\
{_STACK}

Times:
  --since and --until take a date (2026-11-20, from 00:00), a date and time (2026-11-20T10:00, or with
  a zone, 2026-11-20T10:00+01:00), or how long ago (30m, 2h, 3d, 1w). Without a zone they are UTC, and
  all that is shown is UTC. What began at --until itself is left out.

Examples:
  why an order was not billed:       orderphase sync-log --order 801000000000002AAA
  what has to be corrected today:    orderphase sync-log --outcome failed --since 1d
  everything about a contract:       orderphase sync-log --contract 800000000000001AAA --json
  what was interrupted last night:   orderphase sync-log --outcome interrupted --since 2026-11-19T22:00 --until 2026-11-20T06:00

The table shortens messages; with --order or --contract they follow in full, with the event and the
correlation id, by which the lines in the logs are found. --json has all: the findings with their
remedies, the correlation id, Stripe's ids, and the requests that the run has made.

Exit codes:
  0  shown, also where there is no entry
  2  an option cannot be used, nothing says where to look, or AWS cannot be used"""

REPLAY = """\
Lists what waits in the dead-letter queues of a stack, with why its last run failed as the sync log has
it, and gives each another run: its event goes to the flow's queue again, behind what waits there of its
contract. An event is a hint, and its run reads everything anew, so that no repetition does harm.

Mend first what the reason names: what fails again comes back."""

REPLAY_MORE = f"""\
{_STACK}

Examples:
  look, and leave everything where it is:   orderphase replay --dry-run
  one order, once it is put right:          orderphase replay --record 801000000000002AAA
  one flow, once its cause is mended:       orderphase replay --flow OrderActivation

What failed for a while only (a vendor was down, a record was locked) is also replayed by the deployment
itself, 15 minutes after it failed and then at growing distances, five times.

Exit codes:
  0  all of it was replayed, or nothing waits
  1  some of it stays, with the reason
  2  nothing says where to look, or AWS cannot be used"""

DOCTOR = """\
Checks a deployment against the systems that it works with, and lists everything that is missing at once,
with what to do: its settings and secrets, the mapping beside this command against what the org says about
its objects, and what Stripe lets the key of each account do.

Nothing is written: what a key may write is asked for by requests that Stripe refuses."""

DOCTOR_MORE = f"""\
{_FUNCTION}
  What only flows need that are off in a stack that is named is a warning; elsewhere every flow counts as on.

Examples:
  after the secrets are filled in:       orderphase doctor --stack orderphase-prod
  in a pipeline, after each deployment:  orderphase doctor --stack orderphase-prod --json

Exit codes:
  0  nothing is missing
  1  something is missing
  2  nothing says where to look, or it cannot be read"""

BACKFILL = """\
Finds every contract with lines of activated orders that are not over, of those the ones that no run has
looked at since their last change, and queues them to be reconciled, some a minute: what was sold before
Orderphase was there, or while it did not hear of it, gets its schedule. What is as it should be is left
alone. Cut off, the same command goes on; when all is done, it finds nothing."""

BACKFILL_MORE = f"""\
{_STACK}

A contract that Stripe bills already by a schedule that Salesforce does not name would get another one:
enter that schedule's id on the Contract beforehand, or set the template's parameter AdoptExisting to on, by
which it is looked for (where the org has fields of Stripe's own products, it is by itself); then the dry run
says what would become of each contract.

Examples:
  how many, and which:                    orderphase backfill --stack orderphase-prod --dry-run
  a few at first:                         orderphase backfill --stack orderphase-prod --limit 10
  all of them, at the pace of the org:    orderphase backfill --stack orderphase-prod --rate 120

Exit codes:
  0  all that was found is queued, or was shown
  2  reconciliation is off in the stack, nothing says where to look, or a system cannot be reached"""
