# The image of the gateway: built on Debian 13, and run with nothing but the shared libraries it needs.
#
#   docker build -t spillway .
#   docker run --rm -p 4000:4000 -e OPENAI_API_KEY spillway
#
# Without a key in the configuration or in SPILLWAY_MASTER_KEY one is made and printed at start.

ARG BASE=debian:13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY docker/install_dependencies.sh docker/
RUN docker/install_dependencies.sh build
COPY docker docker
COPY CMakeLists.txt CMakePresets.json providers.json ./
COPY core core
COPY config config
COPY server server
RUN cmake --preset release -DBUILD_TESTING=OFF \
    && cmake --build --preset release --target spillway \
    && cmake --install build/release --strip --prefix /out \
    && docker/install_dependencies.sh list-runtime /out/bin/spillway > /out/runtime-packages

FROM ${BASE}
COPY --from=build /out/runtime-packages /usr/share/spillway/runtime-packages
RUN apt-get update -qq \
    && xargs -a /usr/share/spillway/runtime-packages \
       apt-get install -y -qq --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=build /out/bin/spillway /usr/local/bin/spillway

# A number, so that an orchestrator can see that it is not root. Nothing is written anywhere.
USER 65532:65532
WORKDIR /etc/spillway
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["spillway", "--health-check"]
ENTRYPOINT ["spillway"]
CMD ["serve", "--listen", "0.0.0.0:4000", "--generate-key"]
