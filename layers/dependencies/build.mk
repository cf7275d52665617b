# How `sam build` makes the layer with the third-party packages, for the `platform` that the including makefile names.
include $(dir $(lastword $(MAKEFILE_LIST)))../../build.mk

# botocore describes 400 services in 28 MB. These are the ones that the functions call; a test makes a client of each.
services := dynamodb lambda secretsmanager sqs

build-DependenciesLayer:
	@mkdir -p "$(ARTIFACTS_DIR)/python"
	@$(UV) pip install --quiet --target "$(ARTIFACTS_DIR)/python" --python-platform $(platform) --python-version 3.13 \
		--only-binary :all: --require-hashes --no-deps -r requirements.txt
	@rm -rf "$(ARTIFACTS_DIR)/python/bin" "$(ARTIFACTS_DIR)/python/.lock"
	@find "$(ARTIFACTS_DIR)/python/botocore/data" "$(ARTIFACTS_DIR)/python/boto3/data" -mindepth 1 -maxdepth 1 -type d \
		$(services:%=! -name %) -exec rm -rf {} +
	@$(call bytecode,/opt)
