# The app as an image: small, without root, on amd64 and arm64 (every dependency has wheels for both;
# nothing is compiled).
FROM python:3.12-slim AS build
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt .
RUN pip install --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY telnyx_media telnyx_media
COPY livekit livekit
RUN pip install --no-deps . && python -m compileall -q /venv

FROM python:3.12-slim
# A user of its own, without a password or a shell; /data is the only place it writes to.
RUN useradd --system --no-create-home --shell /usr/sbin/nologin bridge \
 && mkdir /data && chown bridge /data
COPY --from=build /venv /venv
WORKDIR /app
COPY wsgi.py gunicorn.conf.py ./
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 BRIDGE_HOME=/data PORT=8000
USER bridge
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"]
# gunicorn is process 1 and gets the SIGTERM of `docker stop`; calls go on until
# BRIDGE_DRAIN_SECONDS, so give it that and some (docker stop --time 40).
STOPSIGNAL SIGTERM
CMD ["gunicorn", "wsgi:app"]
