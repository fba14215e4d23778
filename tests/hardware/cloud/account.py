"""The account: its key, access tokens, instances and their plans (IAM, Global Search, Global Catalog)."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any

from .answers import Answer, RefusedError

_ACCOUNT = "a/0123456789abcdef0123456789abcdef"


@dataclass
class Instance:
    """A service instance."""

    name: str  # as the account shows it
    plan: str  # name of the plan: Open, Pay-as-you-go, Flex, Premium
    pricing: str  # free, paygo, subscription
    limit_seconds: float | None = None  # of quantum time; None for no limit
    used_seconds: float = 0.0  # of it
    limit_reached: bool = False

    @property
    def crn(self) -> str:
        """Its cloud resource name."""
        return f"crn:v1:bluemix:public:quantum-computing:us-east:{_ACCOUNT}:{self.name}::"

    @property
    def is_open(self) -> bool:
        """Whether it is on the Open plan, which runs no sessions."""
        return self.plan == "Open"

    @property
    def exhausted(self) -> bool:
        """Whether its time is used up."""
        return self.limit_reached or (self.limit_seconds is not None and self.used_seconds >= self.limit_seconds)


OPEN = Instance("open-instance", "Open", "free", limit_seconds=600.0)
PAID = Instance("paid-instance", "Pay-as-you-go", "paygo")


class Account:
    """One account with one API key.

    Args:
        key: the only API key that is right.
        instances: of the account.
        token_seconds: how long an access token is good for.
    """

    def __init__(self, key: str, instances: list[Instance], token_seconds: float = 3600.0) -> None:
        self._key, self._lifetime = key, token_seconds
        self.instances = {instance.crn: instance for instance in instances}
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()

    def token(self, form: dict[str, list[str]]) -> Answer:
        """Exchange the API key for an access token, as IAM does."""
        if not secrets.compare_digest(form.get("apikey", [""])[0], self._key):
            error = {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}
            return Answer.of(error, 400)
        issued = int(time.time())
        claims = {"iat": issued, "exp": issued + int(self._lifetime), "jti": secrets.token_hex(8)}
        parts = [json.dumps({"alg": "RS256", "typ": "JWT"}), json.dumps(claims), secrets.token_hex(16)]
        token = ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)
        with self._lock:
            self._tokens[token] = issued + self._lifetime
        return Answer.of(
            {
                "access_token": token,
                "refresh_token": "not_supported",
                "token_type": "Bearer",
                "expires_in": int(self._lifetime),
                "expiration": claims["exp"],
                "scope": "ibm openid",
            }
        )

    def revoke_tokens(self) -> None:
        """Make all access tokens worthless that were handed out so far."""
        with self._lock:
            self._tokens.clear()

    def check(self, authorization: str) -> str:
        """Return how a request identified itself, "bearer" or "apikey".

        Raises:
            RefusedError: 401 for everything else.
        """
        scheme, _, value = authorization.partition(" ")
        with self._lock:
            good = scheme == "Bearer" and self._tokens.get(value, 0.0) > time.time()
        # The client falls back to the key itself where IAM does not answer; the API takes it.
        if good or (scheme == "apikey" and secrets.compare_digest(value, self._key)):
            return scheme.lower()
        raise RefusedError(401)

    def instance(self, crn: str) -> Instance:
        """Return the instance that a request names.

        Raises:
            RefusedError: 403 where the account has no such instance.
        """
        if crn not in self.instances:
            raise RefusedError(403)
        return self.instances[crn]

    def search(self, backends: list[str]) -> Answer:
        """Return all instances as Global Search finds them."""
        items = [
            {
                "crn": instance.crn,
                "name": instance.name,
                "service_plan_unique_id": f"plan-{instance.name}",
                "tags": [],
                "doc": {"extensions": {"backends": backends}},
            }
            for instance in self.instances.values()
        ]
        return Answer.of({"items": items, "limit": 100})

    def plan(self, plan_id: str) -> Answer:
        """Return a plan as the Global Catalog describes it."""
        for instance in self.instances.values():
            if plan_id == f"plan-{instance.name}":
                entry: dict[str, Any] = {
                    "id": plan_id,
                    "overview_ui": {"en": {"display_name": instance.plan}},
                    "metadata": {"pricing": {"type": instance.pricing}},
                }
                return Answer.of(entry)
        raise RefusedError(404)

    def usage(self, instance: Instance) -> Answer:
        """Return how much of its time an instance has used."""
        facts: dict[str, Any] = {
            "instance_id": instance.crn,
            "plan_id": f"plan-{instance.name}",
            "usage_consumed_seconds": int(instance.used_seconds),
            "usage_period": {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-29T00:00:00Z"},
            "usage_limit_reached": instance.exhausted,
        }
        if instance.limit_seconds is not None:
            facts["usage_limit_seconds"] = int(instance.limit_seconds)
        return Answer.of(facts)
