"""Ready-made faults by name."""

from __future__ import annotations

from .faults import Fault, burst


def _catalog() -> dict[str, list[Fault]]:
    """Return ready-made faults by name, all on submitting or reading one job."""
    made = {f"post_{status}_x{times}": [burst(status, times)] for status in (500, 502, 503, 504) for times in (1, 3, 6)}
    made |= {
        f"results_{status}_x{times}": [burst(status, times, "jobs.results")] for status in (503,) for times in (1, 3, 6)
    }
    job = {"route": "jobs.create"}
    read = {"route": "jobs.results"}
    return made | {
        "token_refused": [Fault(route="iam.token", effect="status", status=400, calls=None)],
        "iam_unavailable": [Fault(route="iam.token", effect="status", status=503, calls=None)],
        "post_401": [Fault(**job, effect="status", status=401)],
        "post_403": [Fault(**job, effect="status", status=403)],
        "post_429": [Fault(**job, effect="status", status=429, retry_after=1)],
        "status_429_x2": [burst(429, 2, "jobs.get", retry_after=1)],
        "token_expired": [Fault(route="jobs.get", effect="revoke-tokens")],
        "post_answer_lost": [Fault(**job, effect="drop", when="after")],
        "post_504_after_accept": [Fault(**job, effect="status", status=504, when="after")],
        "post_dropped": [Fault(**job, effect="drop")],
        "post_slow": [Fault(**job, effect="slow", when="after", seconds=2.0)],
        "service_down": [Fault(route="jobs.get", effect="down", seconds=2.0)],
        "service_down_at_post": [Fault(route="backends.status", effect="down", seconds=2.0, when="after")],
        "service_down_while_waiting": [Fault(route="jobs.get", effect="down", seconds=25.0)],
        "service_down_long": [Fault(route="backends.status", effect="down", seconds=25.0, when="after")],
        "status_dropped": [Fault(route="jobs.get", effect="drop")],
        "results_dropped": [Fault(**read, effect="drop")],
        "results_cut": [Fault(**read, effect="cut")],
        "results_truncated": [Fault(**read, effect="truncate")],
        "results_malformed": [Fault(**read, effect="garble")],
        "results_nan": [Fault(**read, effect="damage", damage="nan", calls=None)],
        "results_wrong_shape": [Fault(**read, effect="damage", damage="shape", calls=None)],
        "results_row_missing": [Fault(**read, effect="damage", damage="fewer", calls=None)],
        "status_malformed": [Fault(route="jobs.get", effect="garble")],
        "job_error": [Fault(**job, effect="fate", code=9707, message="Temporary Internal Error")],
        "job_cancelled": [Fault(**job, effect="fate", outcome="Cancelled", message="Cancelled by an administrator")],
        "job_ran_too_long": [Fault(**job, effect="fate", outcome="Cancelled", code=1305, message="Job ran too long.")],
        "job_never_starts": [Fault(**job, effect="fate", outcome="Queued")],
        "session_refused": [
            Fault(
                route="sessions.create",
                effect="status",
                status=400,
                code=1352,
                message="You are not authorized to run a session when using the open plan.",
                only="dedicated",
                calls=None,
            )
        ],
        "session_closed": [Fault(**job, effect="close-session")],
        "session_closed_mid_way": [Fault(**job, effect="close-session", calls=(2,))],
        "session_closed_while_queued": [Fault(**job, effect="close-session", when="after")],
        "backend_retired": [Fault(route="backends.list", effect="device", state="retired", device="*")],
        "backend_retired_after_submit": [Fault(**job, effect="device", state="retired", when="after")],
        "backend_maintenance": [Fault(**job, effect="device", state="maintenance")],
        "usage_limit": [Fault(route="instances.usage", effect="usage-limit")],
        "wrong_instance": [Fault(route="backends.list", effect="status", status=403, calls=None)],
        "jobs_list_503_x6": [burst(503, 6, "jobs.list")],
    }


CATALOG: dict[str, list[Fault]] = _catalog()
