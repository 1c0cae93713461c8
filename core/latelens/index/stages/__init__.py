"""Stages before and after exact MaxSim."""
