"""What automations of on-chain accounts need: keys, signatures, hooks, chain data."""
