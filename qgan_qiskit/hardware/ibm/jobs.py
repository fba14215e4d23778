"""Sending a submission's errands and fetching what came of them: every one run once, whatever fails in between."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from qiskit_ibm_runtime import Batch, IBMBackend, RuntimeJobV2, Session
from qiskit_ibm_runtime.exceptions import IBMInputValueError

from qgan_qiskit.errors import QganError, RemoteError
from qgan_qiskit.hardware.ibm.service import IbmAccount, remote
from qgan_qiskit.hardware.ibm.submission import ShardState, Submission
from qgan_qiskit.hardware.ibm.tasks import Learning, RemoteTask, Shard, Work
from qgan_qiskit.hardware.packing import PackedCircuit

logger = logging.getLogger(__name__)


_KINDS: dict[str, type[Session]] = {"session": Session, "batch": Batch}


class Jobs:
    """The jobs of a submission at the service; hold the submission's lock."""

    def __init__(self, submission: Submission, account: IbmAccount) -> None:
        """Connect a submission with an account.

        Args:
            submission: locked.
            account: that its device belongs to.
        """
        self.submission, self.account = submission, account
        self._mode: Any = None

    def _errands(self) -> list[tuple[RemoteTask, ShardState]]:
        """Return what is to be done now, with what is known of it.

        That is learning the noise, where the images need it and it is not back, else the images.
        """
        if self.submission.noise_is_missing():
            return [(Learning(self.submission), self.submission.noise_state())]
        return [(Shard(self.submission, state.shard), state) for state in self.submission.states()]

    def unsent(self) -> bool:
        """Return whether something is to be done that is neither at the service nor back."""
        return any(not state.done and not state.open for _, state in self._errands())

    def adopt(self) -> None:
        """Take over the jobs of errands that were being sent when something failed, and did arrive.

        Raises:
            RemoteError: the service does not answer.
        """
        for errand, state in self._errands():
            if state.event == "sending":
                self._adopt(errand)

    def send(self, backend: IBMBackend, packs: Sequence[PackedCircuit], attempts: int) -> None:
        """Send every errand that is neither at the service nor back; call :meth:`adopt` before.

        A session or batch takes no more jobs afterwards, unless the images are still to come.

        Args:
            backend: the device.
            packs: the circuits.
            attempts: how often each is sent at most.

        Raises:
            RemoteError: the service refused, or an errand has failed too often; what was sent stays known.
        """
        work = Work(self.submission, backend, packs)
        try:
            for errand, state in self._errands():
                if state.done or state.open:
                    continue
                if state.attempt >= attempts:
                    reason = f": {state.reason}" if state.reason else ""
                    raise RemoteError(
                        f"{errand.name} was sent {state.attempt} times and failed{reason}; what is back stays; "
                        "go on with a larger --attempts"
                    )
                self._send(errand, backend, work)
        except QganError:
            # An open session costs; whoever goes on opens another.
            with suppress(RemoteError):
                self._close()
            raise
        if not self.submission.noise_is_missing():
            self._close()

    def _send(self, errand: RemoteTask, backend: IBMBackend, work: Work) -> None:
        mode = self._execution_mode(backend)
        with remote(f"preparing {errand.name}"):
            primitive, given = errand.prepared(mode, work)
        # On the disk before the request leaves: what may have arrived is looked for.
        errand.ledger.write(errand.shard, "sending", tag=errand.tag)
        with remote(f"sending {errand.name}"), self.account.sent_once(backend):
            job = primitive.run(given)
        self._submitted(errand, job)
        logger.info(f"{errand.name}: {errand.more}, job {job.job_id()}")

    def _submitted(self, errand: RemoteTask, job: RuntimeJobV2) -> None:
        described, more = self.submission.described, {}
        if described.mode != "job":
            with remote(f"looking for the {described.mode} of job {job.job_id()}"):
                more["session_id"] = self._mode.session_id if self._mode is not None else job.session_id
        errand.ledger.write(errand.shard, "submitted", job_id=job.job_id(), backend=described.backend, **more)

    def _adopt(self, errand: RemoteTask) -> None:
        with remote(f"looking for {errand.name}"):
            found = self.account.service.jobs(limit=20, job_tags=[errand.tag], descending=False)
            known = {row.get("job_id") for row in errand.ledger.rows()}
            jobs = [job for job in found if job.job_id() not in known]
        if not jobs:
            return
        first, *others = jobs
        for job in others:
            # Sent twice by something between us and the service: one is enough.
            with remote(f"cancelling job {job.job_id()}, a second one of {errand.name}"):
                if not job.in_final_state():
                    job.cancel()
            logger.warning(f"{errand.name} had arrived twice; job {job.job_id()} was cancelled")
        self._submitted(errand, first)
        logger.info(f"{errand.name} had arrived: job {first.job_id()}")

    def _execution_mode(self, backend: IBMBackend) -> Any:
        """Return what jobs run in: that of the learning if it still takes some, else one opened with the first job."""
        described = self.submission.described
        if described.mode == "job":
            return backend
        if self._mode is None:
            self._mode = self._of_learning(_KINDS[described.mode])
        if self._mode is None:
            with remote(f"opening a {described.mode}"), self.account.sent_once(backend):
                self._mode = _KINDS[described.mode](backend=backend)
            until = ", open until the images' jobs are sent" if self.submission.noise_is_missing() else ""
            logger.info(f"{described.mode} {self._mode.session_id}{until}")
        return self._mode

    def _of_learning(self, kind: type[Session]) -> Session | None:
        """Return the session or batch in which the noise is or was learned; None if there is none that takes jobs."""
        known = [row["session_id"] for row in self.submission.noise_ledger.rows() if "session_id" in row]
        if not known:
            return None
        with remote(f"looking for {self.submission.described.mode} {known[-1]}"):
            try:
                found = kind.from_id(known[-1], self.account.service)
            except IBMInputValueError:
                # The service has forgotten it.
                return None
            return found if (found.details() or {}).get("accepting_jobs") else None

    def _close(self) -> None:
        """Let the session or batch end when its jobs are done: an open session costs while it waits."""
        mode = self.submission.described.mode
        if self._mode is None and mode != "job":
            self._mode = self._of_learning(_KINDS[mode])
        if self._mode is not None:
            with remote(f"closing the {mode}"):
                self._mode.close()

    def fetch(self, wait: bool) -> None:
        """Fetch the results of errands whose jobs are done, and note those that failed.

        Args:
            wait: for jobs that are not done.

        Raises:
            RemoteError: the service does not answer, or answers nonsense; nothing is lost.
        """
        for errand, state in self._errands():
            if state.open:
                self._fetch(errand, state, wait)

    def _fetch(self, errand: RemoteTask, state: ShardState, wait: bool) -> None:
        assert state.job_id is not None
        what = f"job {state.job_id} of {errand.name}"
        with remote(what):
            job = self.account.service.job(state.job_id)
            if wait:
                job.wait_for_final_state()
            status = str(job.status())
        if status in ("ERROR", "CANCELLED"):
            with remote(what):
                why = " ".join(str(job.error_message() or "no reason given").split())[:300] if status == "ERROR" else ""
                reason = why or "it was cancelled"
            errand.ledger.write(errand.shard, "failed", reason=reason)
            logger.info(f"{errand.name}: job {state.job_id} failed: {reason}")
        elif status == "DONE":
            with remote(what):
                errand.keep(job, what)
            errand.ledger.write(errand.shard, "collected", seconds=self._seconds(job))
            logger.info(f"{errand.name}: collected")
        else:
            logger.info(f"{errand.name}: job {state.job_id} is {status.lower()}")

    def _seconds(self, job: RuntimeJobV2) -> float | None:
        """Return the job's time on the device; None if the service does not tell, which is no reason to lose a result."""
        try:
            with remote("asking for the time used"):
                return float(job.usage())
        except RemoteError:
            return None

    def cancel(self) -> int:
        """Cancel every job that is not done, and let the session or batch of the learning end; return how many."""
        number = 0
        self.adopt()
        for errand, state in self._errands():
            if not state.open:
                continue
            with remote(f"cancelling job {state.job_id} of {errand.name}"):
                job = self.account.service.job(str(state.job_id))
                ended = job.in_final_state()
                if not ended:
                    job.cancel()
            if not ended:
                errand.ledger.write(errand.shard, "cancelled")
                number += 1
        self._close()
        return number
