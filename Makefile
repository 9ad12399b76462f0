# Every task is written once, in tools/dev.py; without make run `python tools/dev.py TASK`.
# Arguments for a task go into ARGS: make test ARGS="tests/pricing -x"
.DEFAULT_GOAL := help
PY := $(shell command -v python3 || command -v python)
TASKS := demo test coverage busy lint slow check format docs hosts site bench release clean

.PHONY: help run $(TASKS)

help: need-python
	@echo "make TASK, with one of:"
	@$(PY) tools/dev.py help

$(TASKS): need-python
	@$(PY) tools/dev.py $@ $(ARGS)

.PHONY: need-python
need-python:
ifeq ($(PY),)
	@echo "error: no python3 on the path; Deepthrift needs Python 3.11 or newer" >&2; exit 1
endif
