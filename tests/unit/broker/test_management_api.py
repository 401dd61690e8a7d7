"""The management API's address."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from proj.broker.management_api import Management
from proj.errors import InvalidSetting, NoManagement

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_page_is_the_address_without_the_password() -> None:
    """Commands print it."""
    assert Management("http://me:secret@host:1234/api/").page == "http://host:1234/"


@pytest.mark.parametrize("url", ["host:15672", "ftp://host", "", "http://", "http://host:port/", "http://[::1/"])
def test_address_that_is_no_http_url_is_refused_with_an_example(url: str) -> None:
    """The error shows what such a URL looks like."""
    with pytest.raises(InvalidSetting, match="http://user:password@localhost:15672/api/"):
        Management(url)


@pytest.mark.parametrize("host", ["[::1]", "[::1]:15672"])
def test_address_of_ipv6_keeps_its_brackets(host: str) -> None:
    """Without them its last part would be the port."""
    assert Management(f"http://{host}/api/").page == "http://[::1]:15672/"


@contextmanager
def refusing(body: bytes, status: int = 400) -> Iterator[str]:
    """A server that answers every request with this status, by default a refusal, and this body; its URL."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            b'{"error":"bad_request","reason":"Stats in management UI are disabled on this node"}',
            " (Stats in management UI are disabled on this node)",
        ),
        (b"<html>", ""),
        (b"[]", ""),
        (b'{"reason": {"a": 1}}', ""),
        (b'{"reason": "' + b"x" * 1000 + b'"}', ""),
    ],
)
def test_refusal_has_the_reason_that_the_api_gives(body: bytes, why: str) -> None:
    """RabbitMQ 4 can be told to collect no metrics; then it lists no consumers, and says so."""
    with refusing(body) as url, pytest.raises(NoManagement) as caught:
        Management(url).request("GET", "consumers/%2F")

    assert str(caught.value) == f"The management API at {url} refuses GET consumers/%2F: 400 Bad Request{why}."


@pytest.mark.parametrize("body", [b"<html>", b"\xff"])
def test_answer_of_another_server_is_an_error(body: bytes) -> None:
    """A wrong port may be that of any web server."""
    with refusing(body, 200) as url, pytest.raises(NoManagement) as caught:
        Management(url).request("GET", "overview")

    assert caught.value.message == f"No management API answers at {url}: its answer is no JSON."


def test_api_that_does_not_answer_in_time_is_an_error() -> None:
    """Whoever asks a busy broker of their own gives it more time."""
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(NoManagement, match="timed out"):
        Management(f"http://me:secret@127.0.0.1:{mute.getsockname()[1]}/api/", timeout_s=0.05).request(
            "GET", "overview"
        )


def closed() -> str:
    """The URL of a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"http://127.0.0.1:{gone.getsockname()[1]}"


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_node_of_a_cluster_that_does_not_answer_is_passed_over(method: str) -> None:
    """The page is then that of the node that answered, which is asked first the next time."""
    with refusing(b'{"a": 1}', 200) as url:
        management = Management(f"{closed()};{url}/api/")

        assert management.request(method, "overview") == {"a": 1}
        assert management.page == f"{url}/"


def test_node_of_a_cluster_that_lacks_the_others_is_passed_over_where_nothing_is_changed() -> None:
    """It may have begun what it was told to do."""
    with refusing(b"{}", 503) as broken, refusing(b"[]", 200) as url:
        management = Management(f"{broken};{url}")

        with pytest.raises(NoManagement, match="503"):
            management.request("PUT", "vhosts/a")
        assert management.request("GET", "queues") == []


def test_refusal_of_a_node_of_a_cluster_is_that_of_all() -> None:
    """A user without a right lacks it everywhere."""
    with refusing(b"{}", 403) as refused, refusing(b"[]", 200) as url, pytest.raises(NoManagement, match="403"):
        Management(f"{refused};{url}").request("GET", "queues")


def test_cluster_of_which_no_node_answers_is_an_error_that_names_each() -> None:
    """Whoever reads it knows which hosts were tried."""
    urls = [closed(), closed()]

    with pytest.raises(NoManagement) as caught:
        Management(";".join(urls)).request("GET", "queues")

    assert all(f"No management API answers at {url}: " in caught.value.message for url in urls)
