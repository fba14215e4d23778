"""A stand-in for the IBM Quantum Compute service on this machine, for tests with the real, unmodified client.

``server`` answers over HTTP, ``faults`` makes it misbehave on purpose (``catalog``: ready-made), ``client`` points the client
at it, ``process`` starts it in a process of its own, ``fixtures`` and ``small_jobs`` are for tests. The rest is what a service
consists of: ``service`` (requests and jobs), ``endpoints`` (its REST interface), ``account`` (keys, instances, plans), ``store``
(jobs and sessions), ``devices`` (what its chips look like), ``programs`` (decode a job, run it, encode the result), ``simulate``
(the chip), ``answers`` (how it answers and refuses).

Written against qiskit-ibm-runtime 0.51.0. Nothing here talks to anything but 127.0.0.1.
"""
