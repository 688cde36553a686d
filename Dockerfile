# One image for every service: docker run IMAGE run NAME
FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY requirements.lock pyproject.toml LICENSE ./
RUN python -m venv /opt/streamops \
    && /opt/streamops/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY streamops streamops
COPY topics topics
COPY benchmarks/evidently benchmarks/evidently
COPY benchmarks/nannyml benchmarks/nannyml
RUN /opt/streamops/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-trixie
COPY --from=build /opt/streamops /opt/streamops
RUN useradd --create-home --uid 10001 streamops \
    && install -d -o streamops -g streamops /var/lib/streamops /var/lib/streamops/archive
USER 10001
WORKDIR /var/lib/streamops
ENV PATH=/opt/streamops/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
ENTRYPOINT ["streamops"]
CMD ["--help"]
