"""Majordomo keeps the right heavy components of an application in memory.

This package has the client of a running ``majordomo serve``: :mod:`majordomo.client`. Importing the package imports
nothing else, so that the client stays cheap.
"""

from ._version import VERSION as __version__

__all__ = ["__version__"]
