"""IBM's service through its own client: errors in one line, no request repeated, and the API key in no message.

The client finds the key itself (QISKIT_IBM_TOKEN, or the account saved on this machine). Here it is read only to redact it.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService
from qiskit_ibm_runtime.accounts import InvalidAccountError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError
from urllib3.util import Retry

from qgan_qiskit.errors import QganError, RemoteError, UsageError

logger = logging.getLogger(__name__)

_MAX_MESSAGE = 300
_CHANNELS = ("ibm_quantum_platform", "ibm_cloud")
_CRN = r"crn:v1:[\w-]+:[\w-]+:[\w-]+:[\w-]*:a/\w+:[\w-]+:[^:\s]*:[^:\s]*"
# Patterns of the service's messages, each with a remedy; the first that matches is used.
_REMEDIES = {
    r"Unable to find account": "no account is known; set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE, or save one with "
    "QiskitRuntimeService.save_account",
    r"\b1352\b|not authorized to run a session": "this plan allows no sessions; take --execution-mode batch",
    r"\b1305\b|ran too long": "the job exceeded its time limit; take fewer --images-per-job or a longer --max-execution-time",
    r"usage limit|no more time|\b1409\b": "the account's QPU time is used up; wait for the next period or take another account",
    r"\b401\b": "the service rejects the API key; check QISKIT_IBM_TOKEN or save the account again",
    r"\b403\b": "the account has no permission for this; check the instance (QISKIT_IBM_INSTANCE)",
    r"\b429\b": "too many requests, or too many jobs in the queue; repeat the command later",
    r"\b5\d\d\b|Max retries|Connection|Read timed out|timed out": "the service cannot be reached now; repeat the command later",
}


@contextmanager
def translate_client_errors(action: str) -> Iterator[None]:
    """Translate whatever the client raises into one line without the API key.

    Damaged answers make the client raise TypeError or IndexError, so every exception is caught.

    Args:
        action: what is attempted, for the message.

    Raises:
        RemoteError: in place of any exception that is not ours.
    """
    try:
        with warnings.catch_warnings():
            # The client warns of what it then raises, and of its own deprecations.
            warnings.simplefilter("ignore")
            yield
    except QganError:
        raise
    except Exception as error:
        raise RemoteError(f"{action}: {_explain(error)}") from None


def _explain(error: Exception) -> str:
    text = redact_api_key(" ".join(str(getattr(error, "message", None) or error).split()))
    if isinstance(error, InvalidAccountError):
        return "no access to the account; check the key (QISKIT_IBM_TOKEN, or save the account again) and the network"
    if isinstance(error, IBMNotAuthorizedError):
        text = f"401 {text}"
    if isinstance(error, QiskitBackendNotFoundError):
        return "the account has no such device, or it is retired; `ibm:least-busy` takes an available one"
    if isinstance(error, (TypeError, IndexError, KeyError, requests.JSONDecodeError)):
        return f"the service's answer is damaged ({type(error).__name__}); repeat the command"
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, text, re.IGNORECASE):
            return f"{remedy} ({text[:_MAX_MESSAGE]})"
    return text[:_MAX_MESSAGE] or type(error).__name__


def redact_api_key(text: str) -> str:
    """Return a text without the account's API key, wherever the key comes from."""
    keys = {os.environ.get("QISKIT_IBM_TOKEN", "")}
    try:
        keys |= {str(account.get("token", "")) for account in QiskitRuntimeService.saved_accounts().values()}
    except Exception:  # No account is saved, or its file is unreadable: then no text can contain its key.
        logger.debug("no saved account to redact")
    for key in keys - {""}:
        text = text.replace(key, "***")
    return re.sub(r"(?i)\b(apikey|bearer)\s+\S+", r"\1 ***", text)


class IbmAccount:
    """An account's access to devices.

    Attributes:
        service: IBM's client.
        plan: of the account's instance, in lower case; empty if the service does not tell.
    """

    def __init__(self, service: QiskitRuntimeService, plan: str) -> None:
        """Take an open client; see :meth:`open`."""
        self.service, self.plan = service, plan

    @classmethod
    def open(cls) -> IbmAccount:
        """Open the account that IBM's client finds: QISKIT_IBM_TOKEN, or the saved one.

        Raises:
            UsageError: an environment variable cannot be right.
            RemoteError: no access.
        """
        _check_environment()
        with translate_client_errors("opening the account"):
            service = QiskitRuntimeService()
            return cls(service, _find_plan(service))

    def get_backend(self, name: str, num_qubits: int) -> IBMBackend:
        """Return a device that is operational.

        Args:
            name: its name, or ``least-busy``.
            num_qubits: that it must have at least.

        Raises:
            RemoteError: there is none, or it is out of service.
            UsageError: it is too small.
        """
        if name == "least-busy":
            with translate_client_errors(f"looking for a device with {num_qubits} qubits"):
                return _load_target(
                    self.service.least_busy(min_num_qubits=num_qubits, operational=True, simulator=False)
                )
        backend = self.get_calibrated_backend(name)
        with translate_client_errors(f"device '{name}'"):
            status = backend.status()
        if not status.operational:
            raise RemoteError(f"device '{name}': out of service ({status.status_msg}); take another, or wait")
        if backend.num_qubits < num_qubits:
            raise UsageError(f"device '{name}' has {backend.num_qubits} qubits and a circuit needs {num_qubits}")
        return backend

    def get_calibrated_backend(self, name: str) -> IBMBackend:
        """Return a device with today's calibration, operational or not; nothing is sent to it.

        Raises:
            RemoteError: there is none of this name.
        """
        with translate_client_errors(f"device '{name}'"):
            return _load_target(self.service.backend(name))

    def remaining_seconds(self) -> float | None:
        """Return the account's remaining QPU time; None if it is unlimited or unknown."""
        with translate_client_errors("asking for the account's remaining time"):
            remaining = self.service.usage().get("usage_remaining_seconds")
        return None if remaining is None else float(remaining)

    def choose_execution_mode(self, requested: str, jobs: int) -> tuple[str, str]:
        """Return the execution mode and the reason for it.

        Args:
            requested: ``session``, ``batch``, ``job``, or ``auto``: a session if the plan allows it, else a batch, or job
                mode for a single job.
            jobs: to be submitted.

        Raises:
            UsageError: a session is requested, and the plan allows none.
        """
        if requested == "session" and self.plan == "open":
            raise UsageError("--execution-mode session: the open plan allows no sessions; take batch")
        if requested != "auto":
            return requested, "as requested"
        if self.plan and self.plan != "open":
            return "session", f"the plan '{self.plan}' allows sessions"
        reason = "the open plan allows no sessions" if self.plan else "the service does not tell the plan"
        return ("job", f"{reason}, and a single job needs no batch") if jobs == 1 else ("batch", reason)

    @contextmanager
    def disable_post_retries(self, backend: IBMBackend) -> Iterator[None]:
        """Keep the client from repeating a POST: if only the answer was lost, a second job would run as well.

        A job that may have arrived is found by its tag later. Requests that never reached the service are still repeated.
        """
        try:
            session: Any = self.service._get_api_client(backend._instance)._session
            adapters = list({id(adapter): adapter for adapter in session.adapters.values()}.values())
            before = [adapter.max_retries for adapter in adapters]
        except AttributeError:
            logger.warning("this version of IBM's client may send a request twice; duplicates are found by their tags")
            yield
            return
        try:
            for adapter, old in zip(adapters, before, strict=True):
                adapter.max_retries = Retry(
                    total=old.total,
                    connect=old.connect,
                    read=0,
                    backoff_factor=old.backoff_factor,
                    status_forcelist=old.status_forcelist,
                    raise_on_status=False,
                )
            yield
        finally:
            for adapter, old in zip(adapters, before, strict=True):
                adapter.max_retries = old


def _check_environment() -> None:
    """Check the environment variables before the service is contacted.

    Raises:
        UsageError: the channel or the instance is malformed.
    """
    channel = os.environ.get("QISKIT_IBM_CHANNEL", "")
    if channel not in ("", *_CHANNELS):
        raise UsageError(f"QISKIT_IBM_CHANNEL is {channel!r}: the channels are {' and '.join(_CHANNELS)}")
    instance = os.environ.get("QISKIT_IBM_INSTANCE", "")
    if not instance:
        return
    if instance.casefold().startswith("crn"):
        if not re.fullmatch(_CRN, instance):
            raise UsageError(
                f"QISKIT_IBM_INSTANCE is {instance!r}: a CRN has ten parts separated by colons, as in "
                "crn:v1:bluemix:public:quantum-computing:us-east:a/ACCOUNT:INSTANCE::; copy it whole"
            )
    elif instance != instance.strip() or not instance.isprintable() or re.search(r"[:/\\]", instance):
        raise UsageError(f"QISKIT_IBM_INSTANCE is {instance!r}: give the name of an instance or its CRN")


def _load_target(backend: IBMBackend) -> IBMBackend:
    """Fetch a device's target now, which the client would do when it is first accessed."""
    backend.target  # noqa: B018
    return backend


def _find_plan(service: QiskitRuntimeService) -> str:
    active = service.active_instance()
    for instance in service.instances():
        if instance.get("crn") == active:
            return str(instance.get("plan") or "").casefold()
    return ""
