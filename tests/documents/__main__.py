"""`make docs`: write into the documents what they have from the code."""

from __future__ import annotations

import sys

from tests.documents.parts import FILES


def main() -> int:
    """Write every file that is not as it should be, and say which."""
    for path, made in FILES.items():
        text = made()
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stdout.write(f"docs: {path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
