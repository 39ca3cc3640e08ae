# What a person runs; the scripts are in deploy/dev/.
.PHONY: run test bench drill fuzz model days faults fmt

# Builds Logweir and starts it with demo traffic on http://127.0.0.1:7171: make run ARGS='--alerting my.yaml'
run:
	@deploy/dev/run.sh $(ARGS)

# Installs what the tests need and runs all of them
test:
	@deploy/dev/test.sh

# Ingest, size and query times against zstd on the same bytes: make bench ARGS='--megabytes 50'
bench:
	@deploy/dev/bench.sh $(ARGS)

# Rotates, kills, cuts and refuses under load for half an hour and writes docs/delivery.md: make drill ARGS='--only long --no-write'
drill:
	@deploy/dev/drill.sh $(ARGS)

# Feeds hostile bytes to every decoder and says how many: make fuzz ARGS='--seconds 300 batch'
fuzz:
	@deploy/dev/fuzz.sh $(ARGS)

# The engine against a naive one, for hours: make model ARGS=200000; the 24 days: make days; each step of the store: make faults
model:
	@deploy/dev/model.sh storm $(ARGS)
days:
	@deploy/dev/model.sh days $(ARGS)
faults:
	@deploy/dev/model.sh faults $(ARGS)

fmt:
	cargo fmt --all
