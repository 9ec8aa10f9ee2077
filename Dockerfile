# Damper's three programs in one small image. The compiler stays in the first stage.
# Cargo's downloads and build outputs live in cache mounts (BuildKit), so that a change of one file compiles one crate.
FROM rust:1-bookworm AS build
WORKDIR /src

COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bins \
 && mkdir /out \
 && cp target/release/damper target/release/damper-api target/release/damper-worker /out/

FROM debian:bookworm-slim

# curl for health checks, certificates for rediss:// URLs.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --home-dir /var/lib/damper --create-home --shell /usr/sbin/nologin damper

COPY --from=build /out/ /usr/local/bin/

USER damper
# Where damper.db goes when the embedded set-up is run from this image; unused on servers. To be reached from outside
# the container, Damper must be told: DAMPER_LISTEN=0.0.0.0:8080 DAMPER_OPEN=anywhere.
WORKDIR /var/lib/damper
STOPSIGNAL SIGTERM
CMD ["damper", "serve"]
