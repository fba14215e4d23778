"""Simulation of device noise and of error mitigation."""
