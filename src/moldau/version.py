"""The release number of this package; the only place where it is written."""

VERSION = "0.1.0"
