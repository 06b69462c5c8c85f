"""Runs the agent on a real systemd: images, namespaces, containers, machines, stand-ins, results.

It must not know what a case shows; that is in ../cases, one file a case.
"""
