# One image for banyan (the default target), and targets for the demo's gtin-service and legacy-mock:
#   docker build --tag banyan .
#   docker build --tag gtin-service --target gtin-service .
# All run as the unprivileged user `node`, and with a read-only root file system.

# Pin it by digest for builds that can be repeated: --build-arg NODE_IMAGE=node:26-slim@sha256:...
ARG NODE_IMAGE=node:26-slim

FROM ${NODE_IMAGE} AS base
# PID 1 has to forward signals and to reap orphans. Node forwards nothing and reaps only its own children: tini does both.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends tini \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
WORKDIR /app
COPY package.json LICENSE ./
COPY deploy/healthcheck.js ./deploy/

# In a stage of its own: a change in the sources does not install again, and npm's cache stays out of the image.
FROM base AS dependencies
COPY package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

# JavaScript of the TypeScript sources: a read-only image can't keep what it has stripped and compiled, and a process that does
# so anew takes twice as long to start, and 30 MiB more.
FROM base AS build
COPY package-lock.json tsconfig.json tsconfig.build.json ./
RUN npm ci --include=dev --ignore-scripts --no-audit --no-fund
COPY src ./src
COPY gtin-service ./gtin-service
RUN npx tsc --project tsconfig.build.json --declaration false
RUN npx tsc --project gtin-service/tsconfig.build.json --outDir gtin

FROM base AS legacy-mock
COPY legacy-mock ./legacy-mock
USER node
EXPOSE 4001
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --retries=3 \
  CMD ["node", "/app/deploy/healthcheck.js", "http://127.0.0.1:4001/status"]
ENTRYPOINT ["/usr/bin/tini", "--", "node", "/app/legacy-mock/main.ts"]
CMD ["--listen", "0.0.0.0:4001"]
LABEL org.opencontainers.image.title="legacy-mock" \
  org.opencontainers.image.description="An old catalog application of 18 million products, to be wrapped and strangled." \
  org.opencontainers.image.licenses="Apache-2.0"

FROM base AS gtin-service
COPY --from=build /app/gtin ./dist
# A sync writes here (docs/guides/gtin-service.md); a new volume takes this folder's owner.
RUN install --directory --owner=node --group=node /var/lib/gtin
VOLUME /var/lib/gtin
USER node
EXPOSE 4002
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --retries=3 \
  CMD ["node", "/app/deploy/healthcheck.js", "http://127.0.0.1:4002/stores/health/gtins/check"]
ENTRYPOINT ["/usr/bin/tini", "--", "node", "/app/dist/gtin-service/main.js"]
# The data is brought by `docker run gtin-service sync --from URL --data /var/lib/gtin` on the same volume.
CMD ["--listen", "0.0.0.0:4002", "--data", "/var/lib/gtin"]
LABEL org.opencontainers.image.title="gtin-service" \
  org.opencontainers.image.description="Looks up products by GTIN (bar code) over HTTP." \
  org.opencontainers.image.licenses="Apache-2.0"

FROM base AS banyan
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# The folder of routes.yaml, to be mounted as a whole and writable: the admin API replaces the file in it by renaming, and its
# earlier revisions are kept beside it, in .banyan/. Nothing else is written.
RUN install --directory --owner=node --group=node /etc/banyan
USER node
# The admin API stays on the container's loopback until BANYAN_ADMIN_TOKEN and BANYAN_ADMIN=0.0.0.0:8081 are given.
ENV BANYAN_TABLE=/etc/banyan/routes.yaml \
  BANYAN_LISTEN=0.0.0.0:8080 \
  BANYAN_ADMIN=127.0.0.1:8081
# 8443 where BANYAN_TLS=0.0.0.0:8443 is set, with BANYAN_TLS_CERT and BANYAN_TLS_KEY.
EXPOSE 8080 8081 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --retries=3 \
  CMD ["node", "/app/deploy/healthcheck.js", "http://127.0.0.1:8081/readyz"]
# So `docker run banyan check /etc/banyan/routes.yaml` is the command line.
ENTRYPOINT ["/usr/bin/tini", "--", "node", "/app/dist/main.js"]
CMD ["serve"]
# Last, as they change with every build.
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="banyan" \
  org.opencontainers.image.description="A strangler-fig reverse proxy." \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
