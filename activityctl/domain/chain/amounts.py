"""Amounts of tokens as YAML has them: texts, because JSON cannot write such large numbers."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_WHOLE: Final = re.compile("0|[1-9][0-9]{0,77}")
_WEI_DIGITS: Final = 18
_TOKENS: Final = re.compile(r"(?:0|[1-9][0-9]{0,77})(?:\.[0-9]{1,78})?")


def _whole(text: str) -> str:
    if not _WHOLE.fullmatch(text):
        raise ValueError("is not an amount: write whole units as digits, in quotes")
    return text


def _tokens(text: str) -> str:
    if not _TOKENS.fullmatch(text):
        raise ValueError('is not an amount: write a decimal number in quotes, such as "0.5"')
    return text


WholeUnits = Annotated[str, AfterValidator(_whole)]
"""An amount in the smallest unit of the token, such as wei."""
WholeTokens = Annotated[str, AfterValidator(_tokens)]
"""An amount in whole tokens, with decimals."""


def native_amount(wei: int) -> str:
    """Return an amount of the chain's own currency in whole units, such as `0.0015`."""
    whole, part = divmod(wei, 10**_WEI_DIGITS)
    return f"{whole}.{part:0{_WEI_DIGITS}d}".rstrip("0").rstrip(".")
