"""How the real client is pointed at the service: by environment variables alone, no line of code.

What qiskit-ibm-runtime 0.51.0 and the IBM Cloud SDK under it read:

=============================  =========================================================================================
variable                       read by
=============================  =========================================================================================
QISKIT_IBM_TOKEN               accounts/management.py: the account, where neither ``token=`` nor ``name=`` is given
QISKIT_IBM_URL                 the same, only together with QISKIT_IBM_TOKEN
QISKIT_IBM_INSTANCE            the same: a CRN, a name, or "auto"
QISKIT_IBM_CHANNEL             the same: ibm_quantum_platform or ibm_cloud
IAM_URL                        api/auth.py and accounts/account.py: host that exchanges the key for an access token
GLOBAL_SEARCH_URL              ibm_cloud_sdk_core ``configure_service("global_search")``: overrides the host derived from ``url``
GLOBAL_CATALOG_URL             the same for "global_catalog"
GLOBAL_SEARCH_*, …_CATALOG_*   the same: DISABLE_SSL, ENABLE_RETRIES, MAX_RETRIES, RETRY_INTERVAL, ENABLE_GZIP
IBM_CREDENTIALS_FILE           the same from a file; ``ibm-credentials.env`` in the working or home folder wins over variables
RESOURCE_CONTROLLER_URL        accounts/utils.py ``resolve_crn`` (see below)
QISKIT_FUNCTIONS_EXPERIMENTAL  accounts/account.py: no Global Search and Catalog, the instance is believed, its plan unknown
QISKIT_IBM_RUNTIME_LOG_LEVEL,  utils/logging.py
QISKIT_IBM_RUNTIME_LOG_FILE
USAGE_DATA_OPT_OUT,            api/session.py: headers
QISKIT_IBM_RUNTIME_CUSTOM_CLIENT_APP_HEADER, QE_CUSTOM_CLIENT_APP_HEADER, QISKIT_FUNCTIONS_IDENTIFIER
HTTP(S)_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE   requests
=============================  =========================================================================================

The default ``url_resolver`` puts "quantum." and a region before the host of QISKIT_IBM_URL, forgets its port and appends
"/api/v1", unless the address contains the word "experimental" (api/utils.py): then it is taken as it is. Hence the path of this
service's API. The scheme is kept, so plain http works and no certificate is needed.

What cannot be redirected: ``Account.resolve_crn`` exchanges the key at ``iam.`` + the host of ``url``, without a look at IAM_URL.
Nothing in 0.51.0 calls it (names of instances are looked up through Global Search), so no seam is needed.
"""

from __future__ import annotations

import os
from pathlib import Path

_QUICK = Path(__file__).parent / "quick"


def environment(url: str, key: str, instance: str) -> dict[str, str]:
    """Return the environment variables with which ``QiskitRuntimeService()`` talks to a service.

    Args:
        url: where the service listens.
        key: the API key.
        instance: CRN, or "" for all instances of the account.
    """
    return {
        "QISKIT_IBM_TOKEN": key,
        "QISKIT_IBM_URL": f"{url}/experimental/api/v1",
        "QISKIT_IBM_INSTANCE": instance or "auto",
        "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
        "IAM_URL": f"{url}/iam",
        "GLOBAL_SEARCH_URL": f"{url}/search",
        "GLOBAL_CATALOG_URL": f"{url}/catalog",
        # Otherwise the client looks through the whole call stack and its source before every request: half of a test's time.
        "USAGE_DATA_OPT_OUT": "True",
        # A key in a file of the machine, or a proxy, must not come between.
        "IBM_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def without_pauses() -> dict[str, str]:
    """Return environment variables with which a Python process does not wait between its retries, instead of 15 s over five.

    Number and choice of the retries stay as the client has them. For this process see :func:`no_pause`.
    """
    others = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {"PYTHONPATH": os.pathsep.join([str(_QUICK), *others])}


def no_pause(_: object) -> float:
    """Stand in for ``urllib3.util.retry.Retry.get_backoff_time`` (monkeypatch it in a test)."""
    return 0.0
