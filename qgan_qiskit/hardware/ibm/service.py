"""IBM's service through its own client: errors in one line, no request sent twice, and the key in no text of ours.

The key is IBM's client's business: it reads QISKIT_IBM_TOKEN or the account that was saved on this machine. It is looked up here
only to be taken out of messages.
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


_LONGEST = 300
_CHANNELS = ("ibm_quantum_platform", "ibm_cloud")
_CRN = r"crn:v1:[\w-]+:[\w-]+:[\w-]+:[\w-]*:a/\w+:[\w-]+:[^:\s]*:[^:\s]*"
# What the service says, and what to do about it; the first that fits is taken.
_REMEDIES = (
    (
        r"Unable to find account",
        "no account is known; set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE, or save one with "
        "QiskitRuntimeService.save_account",
    ),
    (r"\b1352\b|not authorized to run a session", "this plan allows no sessions; take --execution-mode batch"),
    (
        r"\b1305\b|ran too long",
        "the job took longer than it may; take fewer --images-per-job or a longer --max-execution-time",
    ),
    (
        r"usage limit|no more time|\b1409\b",
        "the account's time on devices is used up; wait for the next period or take another",
    ),
    (r"\b401\b", "the service refuses the key; check QISKIT_IBM_TOKEN or save the account again"),
    (r"\b403\b", "the account may not do this; check the instance (QISKIT_IBM_INSTANCE)"),
    (r"\b429\b", "too many requests, or too many jobs in the queue; repeat the command later"),
    (
        r"\b5\d\d\b|Max retries|Connection|Read timed out|timed out",
        "the service cannot be reached now; repeat the command later",
    ),
)


@contextmanager
def remote(what: str) -> Iterator[None]:
    """Turn whatever the client raises in a ``with`` block into an error of ours, in one line without the key.

    The client lets errors of the language out where an answer is damaged (TypeError, IndexError), so all are caught.

    Args:
        what: what was to be done, for the message.

    Raises:
        RemoteError: always, in place of another error.
    """
    try:
        with warnings.catch_warnings():
            # The client warns of what it then raises, or of deprecations that are its own business.
            warnings.simplefilter("ignore")
            yield
    except QganError:
        raise
    except Exception as error:
        raise RemoteError(f"{what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = without_key(" ".join(str(getattr(error, "message", None) or error).split()))
    if isinstance(error, InvalidAccountError):
        return "no access to the account; check the key (QISKIT_IBM_TOKEN, or save the account again) and the network"
    if isinstance(error, IBMNotAuthorizedError):
        text = f"401 {text}"
    if isinstance(error, QiskitBackendNotFoundError):
        return "the account has no such device, or it is retired; `ibm:least-busy` takes one that it has"
    if isinstance(error, (TypeError, IndexError, KeyError, requests.JSONDecodeError)):
        return f"the service's answer is damaged ({type(error).__name__}); repeat the command"
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, text, re.IGNORECASE):
            return f"{remedy} ({text[:_LONGEST]})"
    return text[:_LONGEST] or type(error).__name__


def without_key(text: str) -> str:
    """Return a text with the key of the account, wherever it comes from, taken out."""
    keys = {os.environ.get("QISKIT_IBM_TOKEN", "")}
    try:
        keys |= {str(account.get("token", "")) for account in QiskitRuntimeService.saved_accounts().values()}
    except Exception:
        # No account is saved, or its file cannot be read: then nothing in the text can come from it.
        keys = keys
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
        """Keep what :meth:`open` found."""
        self.service, self.plan = service, plan

    @classmethod
    def open(cls) -> IbmAccount:
        """Open the account that IBM's client finds: QISKIT_IBM_TOKEN, or the one that was saved.

        Raises:
            RemoteError: no access.
        """
        _check_environment()
        with remote("opening the account"):
            service = QiskitRuntimeService()
            return cls(service, _plan(service))

    def device(self, name: str, num_qubits: int) -> IBMBackend:
        """Return a device that is in service.

        Args:
            name: its name, or ``least-busy``.
            num_qubits: that it must have at least.

        Raises:
            RemoteError: there is none, or it is out of service.
            UsageError: it is too small.
        """
        if name == "least-busy":
            with remote(f"looking for a device with {num_qubits} qubits"):
                return _known(self.service.least_busy(min_num_qubits=num_qubits, operational=True, simulator=False))
        backend = self.calibrated(name)
        with remote(f"device '{name}'"):
            status = backend.status()
        if not status.operational:
            raise RemoteError(f"device '{name}': out of service ({status.status_msg}); take another, or wait")
        if backend.num_qubits < num_qubits:
            raise UsageError(f"device '{name}' has {backend.num_qubits} qubits and a circuit needs {num_qubits}")
        return backend

    def calibrated(self, name: str) -> IBMBackend:
        """Return a device with its map and its calibration of now, whether it is in service or not; nothing is sent to it.

        Raises:
            RemoteError: there is none of this name.
        """
        with remote(f"device '{name}'"):
            return _known(self.service.backend(name))

    def remaining_seconds(self) -> float | None:
        """Return the account's remaining time on devices; None where it has no limit or does not tell."""
        with remote("asking for the account's remaining time"):
            found = self.service.usage().get("usage_remaining_seconds")
        return None if found is None else float(found)

    def execution_mode(self, asked: str, jobs: int) -> tuple[str, str]:
        """Return the execution mode and why it is that one.

        Args:
            asked: ``session``, ``batch``, ``job``, or ``auto``: a session where the plan allows it, else a batch, or for a
                single job none of both.
            jobs: that are to be sent.

        Raises:
            UsageError: a session is asked for, and the plan allows none.
        """
        if asked == "session" and self.plan == "open":
            raise UsageError("--execution-mode session: the open plan allows no sessions; take batch")
        if asked != "auto":
            return asked, "as asked"
        if self.plan and self.plan != "open":
            return "session", f"the plan '{self.plan}' allows sessions"
        why = "the open plan allows no sessions" if self.plan else "the service does not tell the plan"
        return ("job", f"{why}, and a single job needs no batch") if jobs == 1 else ("batch", why)

    @contextmanager
    def sent_once(self, backend: IBMBackend) -> Iterator[None]:
        """Keep the client from repeating a POST by itself: after an answer that was lost, a second job would run, too.

        What may have arrived is found by its tag afterwards. Requests that never reached the service are still repeated.
        """
        try:
            session: Any = self.service._get_api_client(backend._instance)._session
            adapters = list({id(adapter): adapter for adapter in session.adapters.values()}.values())
            before = [adapter.max_retries for adapter in adapters]
        except AttributeError:
            logger.warning(
                "this version of IBM's client may send a request twice; duplicates are looked for by their tags"
            )
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
    """Refuse names that cannot be right before anybody is asked.

    Raises:
        UsageError: the channel or the instance that an environment variable names is none.
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
                f"QISKIT_IBM_INSTANCE is {instance!r}: a CRN has ten parts with colons between them, as in "
                "crn:v1:bluemix:public:quantum-computing:us-east:a/ACCOUNT:INSTANCE::; copy it whole"
            )
    elif instance != instance.strip() or not instance.isprintable() or re.search(r"[:/\\]", instance):
        raise UsageError(f"QISKIT_IBM_INSTANCE is {instance!r}: neither the name of an instance nor its CRN")


def _known(backend: IBMBackend) -> IBMBackend:
    """Return a device with its map and calibration, which the client would else fetch when they are first looked at."""
    backend.target  # noqa: B018
    return backend


def _plan(service: QiskitRuntimeService) -> str:
    active = service.active_instance()
    for instance in service.instances():
        if instance.get("crn") == active:
            return str(instance.get("plan") or "").casefold()
    return ""
