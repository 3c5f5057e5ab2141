# Two stages: Cargo and a C compiler build the one binary, which runs without a shell and without rights.
FROM rust:1-slim-bookworm AS build
WORKDIR /source
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cargo build --release --locked --bin probity && strip target/release/probity

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/probity /usr/local/bin/probity
USER nonroot
# Inside a container loopback reaches nobody; publish the port to where it may be reached.
ENV PROBITY_LISTEN=0.0.0.0:8000
# glibc gives each thread a heap of its own, and keeps what has been freed there: with two the memory is flat.
ENV MALLOC_ARENA_MAX=2
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/probity", "health"]
ENTRYPOINT ["/usr/local/bin/probity"]
CMD ["serve"]
