# Takes MediaMTX's hooks and runs the life of each stream. Context: the root of the repository.
# Native dependencies: none beyond the base's libc.
ARG RUST_IMAGE=rust:1.95.0-trixie
ARG BASE_IMAGE=debian:trixie-slim

FROM ${RUST_IMAGE} AS build
# The toolchain of the image, without the linter that rust-toolchain.toml asks for.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=dub-cargo,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=dub-target,target=/src/target,sharing=locked \
    cargo build --release --locked -p orchestrator && cp target/release/orchestrator /orchestrator

FROM ${BASE_IMAGE}
# ca-certificates: TLS to what lies outside.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin dub
COPY --from=build /orchestrator /usr/local/bin/orchestrator
USER dub
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["orchestrator", "healthcheck"]
ENTRYPOINT ["orchestrator"]
