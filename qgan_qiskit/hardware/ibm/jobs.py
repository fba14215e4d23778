"""Sends a submission's tasks and fetches their results, so that each task runs exactly once whatever fails in between."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from qiskit_ibm_runtime import Batch, IBMBackend, RuntimeJobV2, Session
from qiskit_ibm_runtime.exceptions import IBMInputValueError

from qgan_qiskit.errors import QganError, RemoteError
from qgan_qiskit.hardware.ibm.service import IbmAccount, translate_client_errors
from qgan_qiskit.hardware.ibm.submission import Submission, TaskState
from qgan_qiskit.hardware.ibm.tasks import NoiseLearningTask, RemoteTask, ShardTask, SubmissionContext
from qgan_qiskit.hardware.packing import PackedCircuit

logger = logging.getLogger(__name__)

_MODES: dict[str, type[Session]] = {"session": Session, "batch": Batch}
_MAX_REASON = 300


class Jobs:
    """The jobs of a submission at the service; the caller holds the submission's lock."""

    def __init__(self, submission: Submission, account: IbmAccount) -> None:
        """Connect a submission with an account."""
        self.submission, self.account = submission, account
        # The open session or batch.
        self._mode: Any = None

    def _current_tasks(self) -> list[tuple[RemoteTask, TaskState]]:
        """Return the tasks of this phase with their states: learning the noise if it is needed and not done, else images."""
        if self.submission.awaits_noise_model():
            return [(NoiseLearningTask(self.submission), self.submission.noise_state())]
        return [(ShardTask(self.submission, state.shard), state) for state in self.submission.shard_states()]

    def has_unsent(self) -> bool:
        """Return whether a task is neither at the service nor done."""
        return any(not state.done and not state.pending for _, state in self._current_tasks())

    def adopt(self) -> None:
        """Adopt the jobs of tasks that were being sent when something failed, but did arrive.

        Raises:
            RemoteError: the service does not answer.
        """
        for task, state in self._current_tasks():
            if state.event == "sending":
                self._adopt(task)

    def send(self, backend: IBMBackend, circuits: Sequence[PackedCircuit], attempts: int) -> None:
        """Send every task that is neither at the service nor done; call :meth:`adopt` before.

        Afterward the session or batch accepts no more jobs, unless the images are still to come.

        Raises:
            RemoteError: the service refused, or a task has failed too often; what was sent stays known.
        """
        context = SubmissionContext(self.submission, backend, circuits)
        try:
            for task, state in self._current_tasks():
                if state.done or state.pending:
                    continue
                if state.attempt >= attempts:
                    reason = f": {state.reason}" if state.reason else ""
                    raise RemoteError(
                        f"{task.name} was sent {state.attempt} times and failed{reason}; collected results are kept; "
                        "continue with a larger --attempts"
                    )
                self._send(task, backend, context)
        except QganError:
            # An open session is charged for; resuming opens another.
            with suppress(RemoteError):
                self._close_mode()
            raise
        if not self.submission.awaits_noise_model():
            self._close_mode()

    def _send(self, task: RemoteTask, backend: IBMBackend, context: SubmissionContext) -> None:
        mode = self._open_mode(backend)
        with translate_client_errors(f"preparing {task.name}"):
            primitive, argument = task.build(mode, context)
        # On disk before the request leaves: a job that may have arrived is looked for.
        task.ledger.write(task.shard, "sending", tag=task.tag)
        with translate_client_errors(f"sending {task.name}"), self.account.disable_post_retries(backend):
            job = primitive.run(argument)
        self._record_submitted(task, job)
        logger.info(f"{task.name}: {task.content}, job {job.job_id()}")

    def _record_submitted(self, task: RemoteTask, job: RuntimeJobV2) -> None:
        manifest, fields = self.submission.manifest, {}
        if manifest.execution_mode != "job":
            with translate_client_errors(f"looking for the {manifest.execution_mode} of job {job.job_id()}"):
                fields["session_id"] = self._mode.session_id if self._mode is not None else job.session_id
        task.ledger.write(task.shard, "submitted", job_id=job.job_id(), backend=manifest.backend, **fields)

    def _adopt(self, task: RemoteTask) -> None:
        with translate_client_errors(f"looking for {task.name}"):
            tagged = self.account.service.jobs(limit=20, job_tags=[task.tag], descending=False)
            known = {row.get("job_id") for row in task.ledger.rows()}
            arrived = [job for job in tagged if job.job_id() not in known]
        if not arrived:
            return
        first, *duplicates = arrived
        for job in duplicates:
            # Something between us and the service sent it twice.
            with translate_client_errors(f"canceling job {job.job_id()}, a duplicate of {task.name}"):
                if not job.in_final_state():
                    job.cancel()
            logger.warning(f"{task.name} had arrived twice; job {job.job_id()} was canceled")
        self._record_submitted(task, first)
        logger.info(f"{task.name} had arrived: job {first.job_id()}")

    def _open_mode(self, backend: IBMBackend) -> Any:
        """Return what jobs run in: the backend, the noise learning's session if it still accepts jobs, or a new one."""
        name = self.submission.manifest.execution_mode
        if name == "job":
            return backend
        if self._mode is None:
            self._mode = self._find_learning_mode(_MODES[name])
        if self._mode is None:
            with translate_client_errors(f"opening a {name}"), self.account.disable_post_retries(backend):
                self._mode = _MODES[name](backend=backend)
            until = ", open until the images' jobs are sent" if self.submission.awaits_noise_model() else ""
            logger.info(f"{name} {self._mode.session_id}{until}")
        return self._mode

    def _find_learning_mode(self, kind: type[Session]) -> Session | None:
        """Return the session or batch of the noise learning; None if there is none that accepts jobs."""
        rows = self.submission.noise_ledger.rows()
        known = [row["session_id"] for row in rows if "session_id" in row]
        if not known:
            return None
        with translate_client_errors(f"looking for {self.submission.manifest.execution_mode} {known[-1]}"):
            try:
                mode = kind.from_id(known[-1], self.account.service)
            except IBMInputValueError:
                # The service has deleted it.
                return None
            return mode if (mode.details() or {}).get("accepting_jobs") else None

    def _close_mode(self) -> None:
        """Let the session or batch end with its jobs: an open session is charged for while it is idle."""
        name = self.submission.manifest.execution_mode
        if self._mode is None and name != "job":
            self._mode = self._find_learning_mode(_MODES[name])
        if self._mode is not None:
            with translate_client_errors(f"closing the {name}"):
                self._mode.close()

    def fetch(self, wait: bool) -> None:
        """Store the results of finished jobs, and record those that failed.

        Raises:
            RemoteError: the service does not answer, or its answer is damaged; nothing is lost.
        """
        for task, state in self._current_tasks():
            if state.pending:
                self._fetch(task, str(state.job_id), wait)

    def _fetch(self, task: RemoteTask, job_id: str, wait: bool) -> None:
        source = f"job {job_id} of {task.name}"
        with translate_client_errors(source):
            job = self.account.service.job(job_id)
            if wait:
                job.wait_for_final_state()
            status = str(job.status())
        if status in ("ERROR", "CANCELLED"):
            with translate_client_errors(source):
                message = (job.error_message() or "no reason given") if status == "ERROR" else "it was canceled"
                reason = " ".join(str(message).split())[:_MAX_REASON]
            task.ledger.write(task.shard, "failed", reason=reason)
            logger.info(f"{task.name}: job {job_id} failed: {reason}")
        elif status == "DONE":
            with translate_client_errors(source):
                task.store_result(job, source)
            task.ledger.write(task.shard, "collected", seconds=_qpu_seconds(job))
            logger.info(f"{task.name}: collected")
        else:
            logger.info(f"{task.name}: job {job_id} is {status.lower()}")

    def cancel(self) -> int:
        """Cancel every unfinished job and close the session or batch; return the number of canceled jobs."""
        canceled = 0
        self.adopt()
        for task, state in self._current_tasks():
            if not state.pending:
                continue
            with translate_client_errors(f"canceling job {state.job_id} of {task.name}"):
                job = self.account.service.job(str(state.job_id))
                finished = job.in_final_state()
                if not finished:
                    job.cancel()
            if not finished:
                task.ledger.write(task.shard, "canceled")
                canceled += 1
        self._close_mode()
        return canceled


def _qpu_seconds(job: RuntimeJobV2) -> float | None:
    """Return the job's QPU time; None if the service does not tell, which is no reason to lose a result."""
    try:
        with translate_client_errors("asking for the QPU time"):
            return float(job.usage())
    except RemoteError:
        return None
