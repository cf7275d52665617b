# What the makefiles that `sam build` runs have in common. Each includes this file first.
# SAM runs them in a scratch copy of the folder, with ARTIFACTS_DIR set to where the result belongs.

root := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))

# Tools: named by the caller, made by `make` in the project's root, or found on the PATH.
UV ?= $(or $(wildcard $(root)/.tools/uv/bin/uv),uv)
PYTHON ?= $(or $(wildcard $(root)/.venv/bin/python),python3.13)

# Bytecode is bound to the interpreter's minor version: it has to be the runtime's.
# unchecked-hash: the files' times do not survive the zip, and Lambda could not write the fresh bytecode anyway.
# $(call bytecode,<where the artifact is mounted in Lambda>)
bytecode = $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13) and "build: needs Python 3.13; run make in the root of the project")' \
	&& $(PYTHON) -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$(ARTIFACTS_DIR)" -p $(1) "$(ARTIFACTS_DIR)"
