"""What an error in a node's answer means: too wide a query, too many calls, or a refusal."""

import re
from enum import Enum
from typing import Final


class AnswerFault(Enum):
    """What an error in a JSON-RPC answer means."""

    TOO_WIDE = "too wide"
    """The query has too many blocks or results: a smaller one may be answered."""
    TOO_OFTEN = "too often"
    """The node takes no more calls for now."""
    REVERTED = "reverted"
    """The contract refused the call."""
    NOT_THERE = "not there"
    """The node does not have the block, because it lags behind or has dropped it."""
    REFUSED = "refused"
    """Anything else."""


_TOO_WIDE_CODES: Final = frozenset({-32047, -32614, 35})
_TOO_OFTEN_CODES: Final = frozenset({429, -32029, -32097})
_REVERTED_CODE: Final = 3

_TOO_OFTEN: Final = re.compile(
    r"rate.?limit|too many requests|compute units|request(?:s)? (?:count|limit)|throttl"
    r"|daily (?:request|limit)|requests? per (?:second|minute|day)|capacity exceeded|quota"
)
_TOO_WIDE: Final = re.compile(
    r"blocks? range|range (?:is )?too|range limit|wide range|limited to (?:an? )?[\d\s-]"
    r"|more than [\d,]+ (?:results|logs)|too many (?:logs|results|blocks)"
    r"|max(?:imum)? (?:block|range|results|logs)|exceeds? (?:max|the range|range)|ranges over"
    r"|(?:response|result|log).{0,20}(?:size|too (?:big|large)|limit)|response is too"
    r"|query timeout|query timed out|execution timeout|limit exceeded|request timed out|too large"
)
_NOT_THERE: Final = re.compile(
    r"unknown block|block not found|header not found|missing trie node|not available|pruned"
    r"|beyond current head|after last accepted|future block|unknown block|resource not found"
)


def fault_of(method: str, code: int, message: str) -> AnswerFault:
    """Return what an error means; the same code means different things at different providers."""
    text = message.lower()
    if code == _REVERTED_CODE or "execution reverted" in text or text.startswith("vm exception"):
        return AnswerFault.REVERTED
    if code in _TOO_OFTEN_CODES or _TOO_OFTEN.search(text):
        return AnswerFault.TOO_OFTEN
    if _NOT_THERE.search(text):
        return AnswerFault.NOT_THERE
    if method == "eth_getLogs" and (code in _TOO_WIDE_CODES or _TOO_WIDE.search(text)):
        return AnswerFault.TOO_WIDE
    return AnswerFault.REFUSED
