"""Adaptive dispatch: as fair as one message a slot, and as fast as an unlimited prefetch.

A worker asks for more messages than it has slots, as long as its tasks are short: then the next message is there when a
slot is free, and nobody waits for the broker. It holds these messages itself, a few of them in the pipes of busy pool
processes, from which it can take them back. A message that it has held for longer than the budget
(`proj_dispatch_budget_s`, 50 ms) goes back to its queue, where any free worker takes it.

What is guaranteed, with the budget b, the longest turn of a worker's loop t, and a way between worker and broker d:

- No message is held for longer than b + t. A timer is set for the oldest, and all that are held go back together.
- A message waits while another worker of its queue has a free slot for no longer than
  max(1, W - 1) * (b + t + 4 d) + Q * 10 ms + 4 d, with W workers of the queue and Q queues of that worker. A worker
  cancels its consumers before it gives back, so each can hold a message once before one of its own slots is free again.
- A worker gives back at most once for each task that it ran, because after that it asks for free slots alone until a
  slot has waited for the broker.
- Each message is run once, unless a worker or a connection is lost. Then the tasks that were running are run again, and
  those that had ended and were not acknowledged yet: 8 at most without results, and 9 a pool process whose ends a
  killed main process had not read. What was held was never begun, also in the pipe of a process.

Conditions: the loop is not blocked; the message goes back by `basic.nack`, for a copy takes the time to publish it; it
may go to another worker (`sources._may_return`); and it did not wait for an ETA or a rate limit, which happens in the
worker that has it. docs/dispatch.md has the details.
"""
