// SPDX-License-Identifier: MIT
pragma solidity 0.8.28;

/// A plugin for tests: it checks executors' signatures over the twelve fields of the SDKs, and makes
/// their calls itself, for any account. It is also the contract that is called.
contract TestPlugin {
    error InvalidExecutor();
    error TooMuch(uint256 asked, uint256 most);

    struct Executable {
        uint8 callType;
        address target;
        uint256 value;
        bytes data;
    }

    struct ExecutionRequest {
        Executable exec;
        address account;
        address executor;
        bytes executorSignature;
        bytes validatorSignature;
    }

    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant PARAMS = keccak256(
        "ExecutionParams(uint8 operation,address to,address account,address executor,address gasToken,"
        "address refundReceiver,uint256 value,uint256 nonce,uint256 safeTxGas,uint256 baseGas,"
        "uint256 gasPrice,bytes data)"
    );

    mapping(address account => mapping(address executor => uint256 nonce)) public executorNonce;
    uint256 public total;
    bool public closed;

    function executeTransaction(ExecutionRequest calldata request) external returns (bytes memory) {
        uint256 nonce = executorNonce[request.account][request.executor]++;
        if (signer(request, nonce) != request.executor) revert InvalidExecutor();
        (bool ok, bytes memory answer) =
            request.exec.target.call{value: request.exec.value}(request.exec.data);
        if (!ok) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer;
    }

    function add(uint256 amount) external {
        require(!closed, "closed");
        if (amount > 1000) revert TooMuch(amount, 1000);
        total += amount;
    }

    function divide(uint256 by) external {
        total /= by;
    }

    function close(bool isClosed) external {
        closed = isClosed;
    }

    function signer(ExecutionRequest calldata request, uint256 nonce) private view returns (address) {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN, keccak256("ExecutorPlugin"), keccak256("1.0"), block.chainid, address(this))
        );
        bytes memory head = abi.encode(
            PARAMS,
            request.exec.callType,
            request.exec.target,
            request.account,
            request.executor,
            address(0),
            address(0)
        );
        bytes memory rest = abi.encode(request.exec.value, nonce, 0, 0, 0, keccak256(request.exec.data));
        bytes32 digest =
            keccak256(abi.encodePacked("\x19\x01", domain, keccak256(bytes.concat(head, rest))));
        bytes calldata given = request.executorSignature;
        if (given.length != 65) return address(0);
        return ecrecover(digest, uint8(given[64]), bytes32(given[:32]), bytes32(given[32:64]));
    }
}
