# One image for web, worker, beat and intake; docker-compose.yml shows how they are put together.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --system --uid 10001 --create-home --home-dir /home/smp smp \
 && install --directory --owner smp --mode 700 /var/lib/smp/spool
WORKDIR /app

COPY requirements.lock ./
RUN pip install --requirement requirements.lock

COPY manage.py ./
COPY smp ./smp
COPY settings ./settings
COPY leads ./leads
COPY campaigns ./campaigns
COPY mail ./mail
COPY tracking ./tracking
COPY templates ./templates
COPY locale ./locale

# Values for the build alone: collectstatic reads the settings, and uses none of these.
RUN python -c "from smp.translations import compile_catalogue; compile_catalogue()" \
 && SMP_SECRET_KEY=for-the-build-alone-never-used-by-a-server SMP_BASE_URL=https://build.invalid \
    SMP_MAIL_DOMAIN=build.invalid SMP_RELAY=build.invalid:25 \
    DATABASE_URL=postgresql://build@build.invalid/build REDIS_URL=redis://build.invalid/0 \
    python manage.py collectstatic --noinput \
 && python -m compileall -q smp settings leads campaigns mail tracking

USER smp
EXPOSE 8000 2525
CMD ["gunicorn", "smp.wsgi", "--bind", "0.0.0.0:8000", "--workers", "3", "--threads", "4", "--worker-tmp-dir", "/dev/shm", "--access-logfile", "-"]
