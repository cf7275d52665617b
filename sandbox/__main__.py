"""`python -m sandbox`: the local stack from the command line."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from orderphase.salesforce.client import API_VERSION
from sandbox.demo.org import Org
from sandbox.demo.shop import Draft, Shop, line
from sandbox.processes import StackError
from sandbox.show import VIEWS, show
from sandbox.stack import LocalStack

PORT = 8787

Waiting = tuple[Draft, str]
"""An order that waits for its activation, and the id of the product of its first line."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The local stack. It needs no account anywhere.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="start the stack, drive the main job through it, show it, stop")
    demo.add_argument(
        "--record", metavar="FILE", type=Path, help="also draw a recording of the chief scenes, an SVG, into FILE"
    )
    local = commands.add_parser("local", help="start the stack and leave it running until Ctrl-C")
    local.add_argument("--port", type=_port, default=PORT, help=f"port of the front door (default {PORT}, 0 = any)")
    commands.add_parser("invoke", help="run each function in its container with its sample events (needs a container engine)")
    look = commands.add_parser("show", help="look into the running stack")
    look.add_argument("what", choices=VIEWS)
    chosen = parser.parse_args(arguments)

    # Ended from outside is ended like Ctrl-C: nothing may stay behind.
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks for it to be ignored
        signal.signal(signal.SIGHUP, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
    try:
        match chosen.command:
            case "demo":
                from sandbox.demo import main as play  # noqa: PLC0415 (each command loads what it needs)

                return play(chosen.record)
            case "invoke":
                from sandbox.invoke import main as invoke  # noqa: PLC0415 (each command loads what it needs)

                return invoke()
            case "show":
                for line in show(chosen.what):
                    print(line)
            case "local":
                run_local(chosen.port)
    except StackError as problem:
        print(f"sandbox: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


def run_local(port: int) -> None:
    """Start the stack on `port`, say where everything is, and stay until interrupted."""
    stack = LocalStack(port)
    waiting: list[Waiting] = []
    stack.start(lambda line: print(line, file=sys.stderr), lambda person: waiting.append(_fill(person)))
    with stack:
        print(guide(stack, *waiting), flush=True)
        threading.Event().wait()


def guide(stack: LocalStack, waiting: Waiting | None = None) -> str:
    """Where everything is in a running stack, and how to use it. waiting: what the emulated org was filled with."""
    stripe, salesforce = stack.secrets["StripeSecret"], stack.secrets["SalesforceSecret"]
    key = f"   emulator, key {stripe['STRIPE_API_KEY']}"
    events = "it sends its events there by itself"
    if stack.stripe is None:
        events = "forward that account's product.* and price.* events to it; STRIPE_WEBHOOK_SECRET is what they are signed with"
    client = f"   emulator, client {salesforce['SALESFORCE_CLIENT_ID']}, secret {salesforce['SALESFORCE_CLIENT_SECRET']}"
    client += "; a person: client {SALESFORCE_CLIENT_ID}, secret {SALESFORCE_CLIENT_SECRET}".format(**stack.person)
    order, activation = "801000000000001AAA", ""
    if waiting is not None:
        draft, product_id = waiting
        person, order = stack.person, draft.order_id
        activation = ACTIVATION.format(
            salesforce=salesforce["SALESFORCE_LOGIN_URL"],
            client=person["SALESFORCE_CLIENT_ID"],
            client_secret=person["SALESFORCE_CLIENT_SECRET"],
            version=API_VERSION,
            order=order,
            line=draft.line_ids[0],
            product=product_id,
            stripe=stripe["STRIPE_API_BASE"],
            key=stripe["STRIPE_API_KEY"],
        )
    return GUIDE.format(
        order=order,
        activation=activation,
        url=stack.url,
        secret=stack.webhook_secret,
        quoted=shlex.quote(stack.webhook_secret),
        stripe=stripe["STRIPE_API_BASE"] + ("" if stack.stripe is None else key),
        stripe_events=f"{stack.stripe_events_url}   {events}",
        salesforce=salesforce["SALESFORCE_LOGIN_URL"] + ("" if stack.salesforce is None else client),
        aws=stack.local_aws.url,
        bundle=stack.local_aws.certificate.bundle,
        logs=stack.folder,
    )


def _fill(person: Mapping[str, str]) -> Waiting:
    """Enter an order of two products."""
    with closing(Org(person)) as org:
        shop = Shop(org, datetime.now(UTC).date())
        draft = shop.draft(line("Platform", "1", (0, 12)), line("Analytics", "10", (5, 12)))
        return draft, shop.product_ids["Platform"]


def _port(text: str) -> int:
    """A port number, for argparse."""
    if text.isascii() and text.isdigit() and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")


ACTIVATION = """
See what the order that waits in the org would do:

  .venv/bin/orderphase preview {order}

Activate the order that waits in the org (paste it), as a person and not as the integration user, whose edits of products and
prices count as Orderphase's own; the org tells the gateway by itself:

  token=$(curl -s {salesforce}/services/oauth2/token -d grant_type=client_credentials -d client_id={client} \\
    -d client_secret={client_secret} | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')
  curl -s -X PATCH {salesforce}/services/data/v{version}/sobjects/Order/{order} -H "Authorization: Bearer $token" \\
    -H 'Content-Type: application/json' -d '{{"Status": "Activated"}}'

A few seconds later, what Stripe and the order say:

  curl -s {stripe}/v1/subscription_schedules -u {key}:
  curl -s {salesforce}/services/data/v{version}/sobjects/Order/{order} -H "Authorization: Bearer $token"

Change the quantity of its first line; the org tells that as well, and the schedule follows:

  curl -s -X PATCH {salesforce}/services/data/v{version}/sobjects/OrderItem/{line} -H "Authorization: Bearer $token" \\
    -H 'Content-Type: application/json' -d '{{"Quantity": 3}}'

Rename a product; Stripe follows:

  curl -s -X PATCH {salesforce}/services/data/v{version}/sobjects/Product2/{product} -H "Authorization: Bearer $token" \\
    -H 'Content-Type: application/json' -d '{{"Name": "Platform Plus"}}'
  curl -s {stripe}/v1/products -u {key}:
"""

GUIDE = """
Orderphase runs at  {url}
  webhook secret    {secret}
  Stripe            {stripe}
  Stripe's events   {stripe_events}
  Salesforce        {salesforce}
  AWS               {aws}   (AWS_CA_BUNDLE={bundle})
  logs              {logs}
{activation}
Send a signed event about it yourself (paste it); activated already, nothing changes; not yet, it is skipped. The other kind
ends its contract at once, and for good:

  kind=order.activated data='{{}}'      # kind=order.cancellation_requested data='{{"mode": "now"}}'
  body='{{"id": "evt-'$(date +%s)'", "type": "'$kind'", "org_id": "00D000000000001EAA",
    "record_id": "{order}", "occurred_at": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'", "data": '$data'}}'
  t=$(date +%s)
  v1=$(printf '%s.%s' "$t" "$body" | openssl dgst -sha256 -hmac {quoted} -r | cut -d' ' -f1)
  curl -si {url}/salesforce/events -H "X-Orderphase-Signature: t=$t,v1=$v1" -H 'Content-Type: application/json' \\
    --data-binary "$body"

Look inside:

  .venv/bin/orderphase sync-log             what each run has done and why
  .venv/bin/python -m sandbox show queues   also: contracts, catalogue, deliveries, progress, logs

Use real systems instead of the emulators (before `make local`):

  STRIPE_API_BASE=https://api.stripe.com STRIPE_API_KEY=sk_test_… STRIPE_WEBHOOK_SECRET=whsec_…
  SALESFORCE_LOGIN_URL=https://….my.salesforce.com SALESFORCE_CLIENT_ID=… SALESFORCE_CLIENT_SECRET=…

Ctrl-C stops everything.
"""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
