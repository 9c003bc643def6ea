"""The addresses of the APIs of models, by the provider that an `ai` task names."""

from collections.abc import Mapping
from typing import Final

AI: Final = "ai"
_ADDRESSES: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}


def base_url_of(provider: str, base_url: str | None) -> str:
    """Return the address of a task's API: the one it gives, or that of its provider."""
    return base_url if base_url is not None else _ADDRESSES.get(provider, "")
