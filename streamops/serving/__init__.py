"""Serving: the version that deployments name, scored in process or over HTTP."""
