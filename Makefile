# Thin over npm scripts, a container builder and kubectl; docs/guides/deploy.md tells the rest.
#
#   make                      install what the project needs
#   make run                  the demo: legacy catalog, two GTIN services, the proxy
#   make test                 all tests
#   make image                the three container images
#   make release              every check, then the images, tagged with the version and pushed to REGISTRY
#   make deploy COLOR=blue    bring up or update the blue stack with the images of this version from REGISTRY, its data first
#   make switch COLOR=blue    send the public traffic to the blue stack

VERSION   := $(shell sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
REVISION  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
CREATED   := $(shell date -u +%Y-%m-%dT%H:%M:%SZ)
BUILDER   ?= $(firstword $(foreach name,docker podman buildah,$(shell command -v $(name))))
REGISTRY  ?=
NAMESPACE ?= default
# podman and buildah write images without a health check unless told which format: OCI's has none.
FORMAT    := $(if $(filter podman buildah,$(notdir $(BUILDER))), --format docker)
IMAGES    := banyan gtin-service legacy-mock
KUBECTL   := kubectl --namespace $(NAMESPACE)

.PHONY: all run test image release deploy switch color builder registry

all: node_modules/.package-lock.json

node_modules/.package-lock.json: package.json package-lock.json
	npm ci

run: all
	npm start

test: all
	npm test

image: builder
	$(foreach image,$(IMAGES),$(BUILDER) build$(FORMAT) --target $(image) --tag $(REGISTRY)$(image):$(VERSION) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg CREATED=$(CREATED) . &&) true

release: registry all
	npm run check
	$(MAKE) image
	$(foreach image,$(IMAGES),$(BUILDER) push $(REGISTRY)$(image):$(VERSION) &&) true

deploy: color
	kubectl kustomize deploy/kubernetes/overlays/$(COLOR) | sed -E 's#image: (banyan|gtin-service):.*#image: $(REGISTRY)\1:$(VERSION)#' | $(KUBECTL) apply --filename -
	$(KUBECTL) get job/gtin-first-$(COLOR) >/dev/null 2>&1 || $(KUBECTL) create job gtin-first-$(COLOR) --from cronjob/gtin-sync-$(COLOR)
	$(KUBECTL) wait job/gtin-first-$(COLOR) --for condition=complete --timeout 60m
	$(KUBECTL) rollout status deployment/gtin-$(COLOR) --timeout 5m
	$(KUBECTL) rollout status deployment/banyan-$(COLOR) --timeout 5m

# Refused while that stack is not whole: nobody is sent to proxies that are not there.
switch: color
	$(KUBECTL) rollout status deployment/banyan-$(COLOR) --timeout 10s
	$(KUBECTL) patch service banyan --patch '{"spec": {"selector": {"banyan/color": "$(COLOR)"}}}'

color:
	@case '$(COLOR)' in blue|green) ;; *) echo 'make: say COLOR=blue or COLOR=green' >&2; exit 2;; esac

builder:
	@test -n '$(BUILDER)' || { echo 'make: no docker, podman or buildah here; or say BUILDER=...' >&2; exit 2; }

registry:
	@test -n '$(REGISTRY)' || { echo 'make: say REGISTRY=registry.example/team/ (with the slash)' >&2; exit 2; }
