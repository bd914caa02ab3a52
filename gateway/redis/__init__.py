"""What several gateways share through Redis or Valkey, and do without while it does not answer."""
