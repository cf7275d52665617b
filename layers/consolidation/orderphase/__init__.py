"""Orderphase: Salesforce Orders become Stripe subscription schedules, and both sides stay in step."""

__version__ = "0.1.0"
