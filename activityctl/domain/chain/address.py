"""The address of an account in YAML; its checksum is checked if it has one."""

from typing import Annotated, Final

from pydantic import AfterValidator

from activityctl.domain.chain.hexadecimal import address

ZERO_ADDRESS: Final = "0x" + 40 * "0"


def _as_written(text: str) -> str:
    address(text)
    return text


Address = Annotated[str, AfterValidator(_as_written)]
"""0x and 40 hexadecimal digits, as they are written."""
