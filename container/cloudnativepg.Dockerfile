# An extension image for CloudNativePG, which mounts it as a volume: PostgreSQL 18 or
# newer, whose extension_control_path finds it.
#
#	docker build -f container/cloudnativepg.Dockerfile --build-arg MAJOR=18 -t kgwebhook .
#
# It has the extension and nothing else: libcurl has to be in the cluster's own image.
ARG MAJOR=18

FROM postgres:${MAJOR} AS build
ARG MAJOR
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libcurl4-openssl-dev libssl-dev make \
    "postgresql-server-dev-${MAJOR}" \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /kgwebhook
COPY Makefile dev.mk kgwebhook.control ./
COPY install install
COPY src src
RUN make -j2 && make install DESTDIR=/out \
 && mkdir -p /image/lib /image/share/extension \
 && cp "/out/usr/lib/postgresql/${MAJOR}/lib/kgwebhook.so" /image/lib/ \
 && cp /out/usr/share/postgresql/"${MAJOR}"/extension/kgwebhook* /image/share/extension/

FROM scratch
COPY --from=build /image/ /
