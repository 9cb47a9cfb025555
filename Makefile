# make demo    a redubbed clip from samples/, on a machine with nothing but Python 3.11 and make
# make test    the whole test suite, in two processes
# make check   style and types
# make bench   figures beside those of other programs: PARTS="say align lips batch scaling"
# make docs    the documentation as pages, into out/docs
# make lock    choose the pinned versions anew
PYTHON ?= python3.11
PY := .venv/bin/python
READY := .venv/.ready

.PHONY: demo test check bench docs lock clean
.DELETE_ON_ERROR:

$(READY): requirements.lock pyproject.toml scripts/uv.py
	@echo "== environment: about 7 GB of packages into .venv (1-4 minutes)"
	@command -v $(PYTHON) >/dev/null || { echo "Wildline needs Python 3.11: set PYTHON=/path/to/python3.11"; exit 1; }
	@UV="$$($(PYTHON) scripts/uv.py)" && \
	"$$UV" venv --quiet --clear --python "$$(command -v $(PYTHON))" .venv && \
	"$$UV" pip install --quiet --python $(PY) --no-deps --require-hashes -r requirements.lock && \
	"$$UV" pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	@$(PY) samples/demo.py

test: $(READY)
	@$(PY) -m pytest -n 2 --dist loadfile

check: $(READY)
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

bench: $(READY)
	@$(PY) benchmarks/bench.py $(PARTS) $(BENCH)

docs: $(READY)
	@.venv/bin/sphinx-build -W -q -b html docs out/docs && echo "out/docs/index.html"

lock: scripts/uv.py
	@UV="$$($(PYTHON) scripts/uv.py)" && "$$UV" pip compile pyproject.toml --extra dev --extra docs --extra cluster --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean:
	rm -rf .venv .venv-uv build out *.egg-info
