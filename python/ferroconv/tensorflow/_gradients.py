"""The ops' gradients, registered when this module is first imported."""

from __future__ import annotations
