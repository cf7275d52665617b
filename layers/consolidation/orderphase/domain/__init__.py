"""The rules: order lines become phases, phases become a plan. Pure: no I/O, no SDK, no clock, no environment."""
