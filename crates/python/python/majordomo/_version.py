"""The version of this package, which is the version of the server that it belongs to."""

VERSION = "0.1.0"
