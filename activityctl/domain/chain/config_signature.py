"""The signature with which an executor registers its service: EIP-712 over the destination."""

from typing import Final

from activityctl.domain.chain.hexadecimal import checksum_address
from activityctl.domain.chain.signatures import recover_signer
from activityctl.domain.chain.typed_data import Digest, Fields, typed_data_digest

_DOMAIN: Final = {"name": "Brahma Builder Kit", "version": "1"}
_FIELDS: Final[Fields] = (
    ("destinationURL", "string"),
    ("verifyPayload", "bool"),
    ("action", "string"),
)


def config_digest(destination_url: str, *, verify_payload: bool, action: str) -> Digest:
    """Return what the executor signs; ValueError if a value does not have its type."""
    message = {
        "destinationURL": destination_url,
        "verifyPayload": verify_payload,
        "action": action,
    }
    return typed_data_digest(_DOMAIN, {"KernelAction": _FIELDS}, "KernelAction", message)


def check_config(
    signature: str, executor: str, destination_url: str, *, verify_payload: bool, action: str
) -> str:
    """Return the executor's address with its checksum, if it signed; else raise ValueError."""
    address = checksum_address(executor)
    digest = config_digest(destination_url, verify_payload=verify_payload, action=action)
    if recover_signer(digest, signature) != address:
        raise ValueError(f"the signature is not of {address}")
    return address
