"""What automations of accounts on EVM chains need: keys, signatures, log filters, blocks."""
