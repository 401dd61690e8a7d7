"""Results over the broker (`rpc://`): a task's slot is free before its result is confirmed, its message is not."""
