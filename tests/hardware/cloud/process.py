"""The service in a process of its own, so that a test may kill the service too, or measure clients undisturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from .account import PAID, Instance
from .client import environment
from .faults import Fault, to_json


class CloudProcess:
    """The same methods as ``server.CloudService``, over HTTP.

    Args:
        key: the API key that is right.
        devices: by name, with the snapshot each is made from.
        state: folder for jobs and logs; a later service with the same one goes on where this one stopped.
        faults: what goes wrong.
        noise: whether the devices' errors count.
        port: 0 for any that is free.
    """

    def __init__(
        self,
        key: str,
        devices: Mapping[str, str],
        state: Path,
        faults: Iterable[Fault] = (),
        noise: bool = False,
        port: int = 0,
    ) -> None:
        self._key = key
        command = [sys.executable, "-m", "cloud.server", "--state", str(state), "--port", str(port)]
        for name, source in devices.items():
            command += ["--device", f"{name}={source}"]
        command += ["--faults", to_json(faults), *(["--noise"] if noise else [])]
        variables = os.environ | {"QISKIT_IBM_TOKEN": key, "PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["url"]

    def __enter__(self) -> CloudProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def environment(self, instance: Instance = PAID) -> dict[str, str]:
        """Return the environment variables with which the client finds this service."""
        return environment(self.url, self._key, instance.crn)

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Put other faults in place; counting of requests starts again."""
        self._ask("faults", {"faults": json.loads(to_json(faults))})

    def set_device(self, name: str, state: str) -> None:
        """Bring a device ("*" for all) into maintenance, retire it, or bring it back."""
        self._ask("devices", {"name": name, "state": state})

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs in the order of their creation."""
        return self._ask("jobs")

    def requests(self, route: str = "") -> list[dict[str, Any]]:
        """Return the log of requests to an endpoint, or of all."""
        return [entry for entry in self._ask("requests") if route in ("", entry["route"])]

    def executions(self) -> list[dict[str, Any]]:
        """Return one entry for each time a job was run."""
        return self._ask("executions")

    def runs_by_tag(self) -> Counter[str]:
        """Return how many times jobs with each tag were run to their end."""
        done = [entry for entry in self.executions() if entry["status"] == "Completed"]
        return Counter(tag for entry in done for tag in entry["tags"])

    def _ask(self, name: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.url}/control/{name}", data=data)) as answer:
            return json.loads(answer.read())
