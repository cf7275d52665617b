"""The flows: each reads a snapshot, asks the domain for a plan, applies it, writes back, and logs."""
