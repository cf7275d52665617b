"""SOQL, as far as it is modelled: `parser` reads a statement, `execution` runs it; what is left out is refused by name."""
