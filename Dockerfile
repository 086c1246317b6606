# The service as a container: bundled, production packages only, an ordinary user, and a root file system that may be read-only.
# Build and run it with deploy/compose.yaml; docs/operations.md explains both.
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Optional are the Node 24 that npm brings for machines with an older one, and the codecs of the simulator's WebP pictures: the
# service needs neither, and they are most of the size.
RUN npm ci --omit=dev --omit=optional

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY bin bin
COPY scripts scripts
COPY src src
COPY simulator simulator
RUN npm run build

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="NovelAI Proxy Service" \
      org.opencontainers.image.licenses="GPL-3.0-only"
# The environment beats .env. Inside a container, 127.0.0.1 would be reachable by nobody; who may reach the port is decided by
# how it is published.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=5000 DATA_DIR=/data LOG_DIR=/logs
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY bin bin
COPY package.json LICENSE .env.example ./
# New volumes take owner and rights from here. A number, not a name, so that an orchestrator can see that it is not root.
RUN mkdir -m 700 /data /logs && chown 1000:1000 /data /logs
VOLUME ["/data", "/logs"]
USER 1000:1000
EXPOSE 5000
# Lets what is at NovelAI finish, up to SHUTDOWN_TIMEOUT (200 s): give the container longer than that to stop.
STOPSIGNAL SIGTERM
# Alive, not ready: a service whose accounts all rest is in good health, and starting it again would help nobody.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`, { signal: AbortSignal.timeout(4000) }).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/novelai-proxy.mjs"]
CMD ["serve"]
