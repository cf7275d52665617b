#!/usr/bin/env bash
# Leaves a uv in .tools/uv/bin: the machine's own if it is recent enough, else the pinned one of requirements-uv.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

minimum=0.8
tools=.tools/uv

if own=$(command -v uv) && printf '%s\n' "$minimum" "$("$own" --version | cut -d' ' -f2)" | sort -V -C; then
  mkdir -p "$tools/bin"
  ln -sf "$own" "$tools/bin/uv"
  exit 0
fi

if ! command -v python3 >/dev/null; then
  echo "make: needs python3 (3.11 or newer), or uv on the PATH" >&2
  exit 1
fi

rm -rf "$tools"
mkdir -p "$tools"
log=$tools/install.log
if python3 -m venv "$tools" >"$log" 2>&1; then
  pip=("$tools/bin/python" -m pip install)
elif python3 -m pip --version >>"$log" 2>&1; then
  # Debian keeps venv's ensurepip in a package of its own. A folder does as well: uv needs no interpreter.
  pip=(python3 -m pip install --target "$tools/packages")
else
  echo "make: this python3 has neither venv nor pip. On Debian or Ubuntu: apt-get install python3-venv. Or put uv on the PATH." >&2
  exit 1
fi

if ! "${pip[@]}" --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-uv.txt >>"$log" 2>&1; then
  cat "$log" >&2
  echo "make: uv could not be installed; see above. Or put uv $minimum or newer on the PATH." >&2
  exit 1
fi
if [ -x "$tools/packages/bin/uv" ]; then
  mkdir -p "$tools/bin"
  ln -sf ../packages/bin/uv "$tools/bin/uv"
fi
