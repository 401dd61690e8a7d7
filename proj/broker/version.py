"""What differs between RabbitMQ's versions, told from the number that a broker gives; nothing else compares numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class BrokerVersion:
    """The version of a RabbitMQ; 0.0 when the broker gives none that can be read."""

    major: int
    minor: int

    @classmethod
    def read(cls, text: object) -> BrokerVersion:
        """The version in a text such as "4.3.6", from `server_properties` or the management API."""
        found = re.match(r"(\d+)\.(\d+)", text) if isinstance(text, str) else None
        return cls(int(found[1]), int(found[2])) if found else cls(0, 0)

    def __str__(self) -> str:
        """As people write it: "4.3"."""
        return f"{self.major}.{self.minor}"

    @property
    def default_delivery_limit(self) -> int | None:
        """The delivery limit of a quorum queue without one of its own; None where there is none.

        Source: https://www.rabbitmq.com/docs/quorum-queues#position-of-poison-message-handling
        """
        return 20 if self >= BrokerVersion(4, 0) else None

    @property
    def counts_nacks(self) -> bool:
        """Whether a message that was given back by `basic.nack` counts toward the delivery limit.

        Source: https://www.rabbitmq.com/release-information, 4.3.0; tried on 3.10.8, 4.0.5 and 4.3.6
        """
        return self < BrokerVersion(4, 3)

    @property
    def keeps_counts_of_dead_letters(self) -> bool:
        """Whether a message that reaches a queue by a dead-letter exchange has the counts of its earlier queue.

        From 4.0 on it has them until it is returned in the new queue, and 4.3 adds to the failed deliveries ever after.
        Tried on 3.10.8 (no), 4.0.5 and 4.3.6 (yes)
        """
        return self >= BrokerVersion(4, 0)

    @property
    def times_out_classic_queues(self) -> bool:
        """Whether `consumer_timeout` takes a message back from a consumer of a classic queue, too.

        Source: https://www.rabbitmq.com/release-information, 4.3.0
        """
        return self < BrokerVersion(4, 3)

    @property
    def cancels_at_timeout(self) -> bool:
        """Whether a message that is not acknowledged in time ends its consumer by `basic.cancel`, and not the channel.

        Source: https://www.rabbitmq.com/release-information, 4.3.0; tried on 4.3.6
        """
        return self >= BrokerVersion(4, 3)

    @property
    def lets_consumers_set_timeout(self) -> bool:
        """Whether the worker sets the consumer timeout of a quorum queue, by the argument `x-consumer-timeout`.

        Source: https://www.rabbitmq.com/release-information, 4.3.0; tried on 4.3.6, where it goes before a policy, the
        queue's argument and the configuration, and an operator policy has no key for it. 4.0.5 knows a policy and the
        queue's argument alone.
        """
        return self >= BrokerVersion(4, 3)

    @property
    def binds_late(self) -> bool:
        """Whether `queue.bind` may return before a topic exchange routes to the queue.

        When several clients bind at the same time, only the first one waits for it. Tried on 3.10.8 (no), 4.0.5 (yes)
        and 4.3.6 (no); the versions between are taken to be like 4.0.
        """
        return BrokerVersion(3, 11) <= self < BrokerVersion(4, 3)

    @property
    def knows_anonymous_login(self) -> bool:
        """Whether rabbitmq.conf has `anonymous_login_user`, as whom a client without a login may enter."""
        return self >= BrokerVersion(4, 0)

    @property
    def pauses_minorities(self) -> bool:
        """Whether a cluster has a strategy for partitions (`cluster_partition_handling`); later ones go by majorities.

        Source: https://www.rabbitmq.com/release-information, 4.3.0
        """
        return self < BrokerVersion(4, 3)

    @property
    def forms_cluster_at_once(self) -> bool:
        """Whether new nodes may start at the same time.

        On 3.10.8 one of three ended with `incompatible_feature_flags`; on 4.0.5 and 4.3.6 none did.
        """
        return self >= BrokerVersion(4, 0)

    @property
    def waits_for_lost_nodes(self) -> bool:
        """Whether a quorum queue keeps what the consumers of a lost node hold, for `consumer-disconnected-timeout`.

        Before, it gives them back at once. Source: https://www.rabbitmq.com/release-information, 4.3.0
        """
        return self >= BrokerVersion(4, 3)
