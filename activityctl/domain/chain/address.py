"""The address of an account in YAML; its checksum is checked if it has one."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

ZERO_ADDRESS: Final = "0x" + 40 * "0"
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("is not an address: write 0x and 40 hex digits, in quotes")
    if text[2:] not in {text[2:].lower(), text[2:].upper()}:
        # loads Keccak only for an address that has a checksum
        from activityctl.domain.chain.signatures import checksum_address

        checksum_address(text)
    return text


Address = Annotated[str, AfterValidator(_address)]
"""0x and 40 hex digits, as they are written."""
