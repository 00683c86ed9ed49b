# One worker process per stream: pulls, decodes, holds, mixes, encodes, publishes. Context: the root of the repository.
# Native dependencies, all Debian packages:
#   libgstreamer1.0-0, libgstreamer-plugins-base1.0-0   the libraries that the binary is linked with
#   gstreamer1.0-plugins-base   appsrc, appsink, audioconvert, audioresample, typefind
#   gstreamer1.0-plugins-good   flvdemux, flvmux, rtspsrc and the RTP depayloaders
#   gstreamer1.0-plugins-bad    rtmp2src, rtmp2sink, srtsrc, tsdemux, h264parse, h264timestamper, voaacenc
#   gstreamer1.0-libav          avdec_aac and the decoders of other sound
ARG RUST_IMAGE=rust:1.95.0-trixie
ARG BASE_IMAGE=debian:trixie-slim

FROM ${RUST_IMAGE} AS build
# The toolchain of the image, without the linter that rust-toolchain.toml asks for.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN apt-get update \
    && apt-get install -y --no-install-recommends pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=dub-cargo,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=dub-target,target=/src/target,sharing=locked \
    cargo build --release --locked -p media-edge && cp target/release/media-edge /media-edge

FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
       libgstreamer1.0-0 libgstreamer-plugins-base1.0-0 \
       gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin dub
COPY --from=build /media-edge /usr/local/bin/media-edge
USER dub
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["media-edge", "healthcheck"]
ENTRYPOINT ["media-edge", "serve"]
