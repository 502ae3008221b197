# The engine in a container: one process, one book, on one volume. See docs/deploying.md.

# The first stage makes the wheel, and a lock of only the packages that a run needs.
FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN python -m tools.packaging /bundle \
    && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11-slim
RUN --mount=type=bind,from=build,source=/bundle,target=/bundle \
    --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --require-hashes -r /bundle/requirements.lock \
    && pip install --no-cache-dir --no-deps /wheels/*.whl

# The engine refuses a state directory of another user: user and volume belong together.
RUN useradd --uid 10001 --home-dir /data ocw && install -d -o ocw -g ocw -m 700 /data
USER ocw
WORKDIR /data
ENV OCW_STATE=/data/book PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["ocw", "run", "--market", "sim", "--speed", "1", "--serve", "0.0.0.0:8080"]
