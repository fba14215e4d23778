"""Python processes with this folder on PYTHONPATH do not pause between retries of HTTP requests. Headers are still obeyed."""

from urllib3.util.retry import Retry

setattr(Retry, "get_backoff_time", lambda self: 0.0)  # noqa: B010
