"""The form of messages between an evaluator process and its parent."""

import struct
from typing import Final

LENGTH: Final = struct.Struct("!Q")
"""The length of an answer, which comes before it."""
