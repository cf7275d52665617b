"""What `--help` says of the commands that operate a deployment: what each does, where it looks, examples, exit codes."""

from __future__ import annotations

_STACK = """\
Where it looks:
  the CloudFormation stack of --stack NAME; else the one that ORDERPHASE_STACK names; else the local
  stack that runs in this folder (make local). AWS is called with the credentials that any AWS tool finds."""

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

DOCTOR_MORE = """\
Where it looks:
  the function of the stack of --stack NAME; else the ORDERPHASE_ variables of that function, where all of
  them are set here; else the function of the stack that ORDERPHASE_STACK names; else the local stack that
  runs in this folder. What only flows need that are off in a stack that is named is a warning; elsewhere
  every flow counts as on.

Examples:
  after the secrets are filled in:       orderphase doctor --stack orderphase-prod
  in a pipeline, after each deployment:  orderphase doctor --stack orderphase-prod --json

Exit codes:
  0  nothing is missing
  1  something is missing
  2  nothing says where to look, or it cannot be read"""
