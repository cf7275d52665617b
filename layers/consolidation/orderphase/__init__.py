"""Orderphase: Salesforce Orders become Stripe subscription schedules, and both sides stay in step."""
