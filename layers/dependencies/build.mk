# How `sam build` makes the layer with the third-party packages, for the `platform` that the including makefile names.
include $(dir $(lastword $(MAKEFILE_LIST)))../../build.mk

# botocore describes 400 services in 28 MB. These are the ones that the functions call; a test makes a client of each.
services := dynamodb lambda secretsmanager sqs

# What compilers and type checkers read, what shows an API in a browser, samples, and lists of files that are not all there.
needless := -name '*.pyi' -o -name '*.pyx' -o -name '*.px[di]' -o -name '*.h' -o -name 'swagger-ui*' -o -name 'examples-1.json' -o -name RECORD

build-DependenciesLayer:
	@mkdir -p "$(ARTIFACTS_DIR)/python"
	@$(UV) pip install --quiet --target "$(ARTIFACTS_DIR)/python" --python-platform $(platform) --python-version 3.13 \
		--only-binary :all: --require-hashes --no-deps -r requirements.txt
	@rm -rf "$(ARTIFACTS_DIR)/python/bin" "$(ARTIFACTS_DIR)/python/.lock"
	@find "$(ARTIFACTS_DIR)/python/botocore/data" "$(ARTIFACTS_DIR)/python/boto3/data" -mindepth 1 -maxdepth 1 -type d \
		$(services:%=! -name %) -exec rm -rf {} +
	@find "$(ARTIFACTS_DIR)/python" -type f \( $(needless) \) -delete
	@$(call bytecode,/opt)
