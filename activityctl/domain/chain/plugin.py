"""The calls of the plugin: the contract that lets an account do what its executor has signed."""

from typing import Final

from activityctl.domain.chain.executable import Executable
from activityctl.domain.chain.hexadecimal import hex_bytes, keccak

_REQUEST: Final = "((uint8,address,uint256,bytes),address,address,bytes,bytes)"
_EXECUTE: Final = f"executeTransaction({_REQUEST})"
_NONCE: Final = "executorNonce(address,address)"


def execution_call(
    executable: Executable, account: str, executor: str, executor_signature: str
) -> bytes:
    """Return the data of the call that carries out an executable; the validator signs nothing."""
    from eth_abi.abi import encode  # 250 ms, which only those need who relay

    call = (executable.call_type, executable.to, executable.value_wei, executable.data)
    request = (call, account, executor, hex_bytes(executor_signature), b"")
    return _selector(_EXECUTE) + encode([_REQUEST], [request])


def nonce_call(account: str, executor: str) -> bytes:
    """Return the data of the call that asks for the executor's next nonce for an account."""
    words = (hex_bytes(address).rjust(32, b"\0") for address in (account, executor))
    return _selector(_NONCE) + b"".join(words)


def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]
