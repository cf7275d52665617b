"""The composition root: builds flows with their real adapters from the settings. Only functions and commands import it.

A module for each family of flows, so that a function loads what it works with and nothing else.
"""
