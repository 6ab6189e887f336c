"""What a web server serves: ``gunicorn wsgi:app``."""

from bridge.app import load_app

app = load_app()
