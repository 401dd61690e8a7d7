"""Which addresses of a broker let a client in."""

from __future__ import annotations

from kombu import Connection

from proj.broker.cluster.answering import answering


def test_each_address_that_does_not_answer_is_named_without_its_password() -> None:
    """One of several is enough to connect, so a person must be told of the others."""
    urls = "amqp://me:secret@127.0.0.1:1//;amqp://me:secret@127.0.0.1:2//;amqp://me:secret@127.0.0.1:3//"

    assert answering(Connection(urls)) == "127.0.0.1:1, 127.0.0.1:2 and 127.0.0.1:3 do not answer."
    assert answering(Connection("amqp://me:secret@127.0.0.1:1//")) == "127.0.0.1:1 does not answer."
