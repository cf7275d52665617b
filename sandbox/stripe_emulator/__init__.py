"""Stripe, as far as subscription schedules need it, served over HTTP for tests and for the local stack.

`StripeEmulator` is the service; `check` refuses parameters that Stripe would refuse, without any service. Facts that Stripe's
documentation or its SDK gives are marked "Stripe:", what has been seen of the real service "Observed:"; where neither says
anything, a docstring says what is done here.
"""

from sandbox.stripe_emulator.account import InvoiceItem
from sandbox.stripe_emulator.emulator import StripeEmulator
from sandbox.stripe_emulator.errors import StripeError
from sandbox.stripe_emulator.parameters import check

__all__ = ["InvoiceItem", "StripeEmulator", "StripeError", "check"]
