"""Adaptive dispatch: as fair as one message a slot, and as fast as an unlimited prefetch.

A worker asks for more messages than it has slots, as long as its tasks are short: then the next message is there when a
slot is free, and nobody waits for the broker. It holds these messages itself and gives one to its pool only when a slot
is free. A message that it has held for longer than the budget (`proj_dispatch_budget_s`, 50 ms) goes back to its queue,
where any free worker takes it. So a long task never keeps other messages from a free worker for longer than the budget
and one turn of the worker's loop.
"""
