"""The dashboard's addresses: authentication, host names, methods and security headers."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from proj.journal.attempt import Attempt
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Serve

pytestmark = pytest.mark.one_version

OURS = (
    "/dispatch",
    "/dispatch/data",
    "/dispatch/data?run=x",
    "/dispatch/now?window=60",
    "/dispatch/tasks?words=x",
    "/dispatch/task/x",
    "/dispatch/assets/report.js",
)
FLOWERS = ("/", "/workers", "/tasks", "/metrics")
OPEN = ("/healthcheck", "/static/css/flower.css")
#: Addresses that change something; any name in them will do.
CHANGES = ("/api/worker/shutdown/any", "/api/task/send-task/any", "/api/task/revoke/any")


def basic(credentials: bytes) -> str:
    return f"Basic {b64encode(credentials).decode()}"


@pytest.mark.parametrize(
    ("options", "headers", "ours", "changes"),
    [
        ({}, {}, 200, 401),
        ({"basic_auth": ["user:secret"]}, {}, 401, 401),
        ({"basic_auth": ["user:secret"]}, {"Authorization": basic(b"user:wrong")}, 401, 401),
        ({"basic_auth": ["user:secret"]}, {"Authorization": "Basic ???"}, 401, 401),
        ({"basic_auth": ["user:secret"]}, {"Authorization": basic("üser:secret".encode())}, 401, 401),
        ({"basic_auth": ["user:secret"]}, {"Authorization": basic(b"\xff\xfe:secret")}, 401, 401),
        ({"basic_auth": ["user:secret"]}, {"Authorization": basic(b"user:secret")}, 200, 403),
        ({"auth": ".*@example.com"}, {}, 302, 403),
        ({"auth": ".*@example.com"}, {"Authorization": basic(b"user:secret")}, 302, 403),
    ],
    ids=["none", "basic", "wrong", "malformed", "not ASCII", "not UTF-8", "right", "OAuth", "OAuth with basic"],
)
def test_page_data_and_assets_are_behind_flowers_authentication(
    serve: Serve, options: dict[str, Any], headers: dict[str, str], ours: int, changes: int
) -> None:
    """They answer only where Flower's pages do. Nothing can be changed, because the dashboard is read-only."""
    with serve(**options) as site:
        assert {path: site.ask(path, **headers).status for path in OURS} == dict.fromkeys(OURS, ours)
        assert {path: site.ask(path, **headers).status for path in FLOWERS} == dict.fromkeys(FLOWERS, ours)
        assert {path: site.ask(path, **headers).status for path in OPEN} == dict.fromkeys(OPEN, 200)
        headers["Origin"] = f"http://127.0.0.1:{site.port}"
        assert {path: site.ask(path, "POST", **headers).status for path in CHANGES} == dict.fromkeys(CHANGES, changes)


def test_metrics_are_public_only_on_demand(serve: Serve) -> None:
    """They have the names of workers, tasks and queues; a Prometheus may have no password."""
    with serve(basic_auth=["user:secret"], public_metrics=True) as site:
        assert (site.ask("/metrics").status, site.ask("/dispatch").status) == (200, 401)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        # Flower itself answers these: there is no such worker.
        ({"Origin": "here"}, 404),
        ({"Sec_Fetch_Site": "same-origin"}, 404),
    ],
)
def test_change_with_a_password_must_say_which_page_it_comes_from(
    serve: Serve, headers: dict[str, str], status: int
) -> None:
    """A browser sends the password with the requests of every page that is open in it."""
    with serve(basic_auth=["user:secret"], read_only=False) as site:
        said = {name: value.replace("here", f"http://127.0.0.1:{site.port}") for name, value in headers.items()}
        answer = site.ask(CHANGES[0], "POST", Authorization=basic(b"user:secret"), **said)
        silent = site.ask(CHANGES[0], "POST", Cookie="user=somebody")

    assert answer.status == status
    assert silent.status == 403
    assert "Origin: http://" in silent.text


def test_dashboard_with_buttons_and_without_a_password_says_what_they_need(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Each button would answer that it is not authorized."""
    with serve(read_only=False) as site:
        assert site.ask(CHANGES[0], "POST").status == 401
    with serve(read_only=False, basic_auth=["user:secret"]), serve(read_only=True):
        pass

    assert [getattr(record, "action", None) for record in caplog.records].count("buttons_need_password") == 1


def test_page_and_tab_follow_the_prefix(serve: Serve) -> None:
    """All addresses have the prefix, and none answers without it."""
    with serve(url_prefix="mon", basic_auth=["user:secret"]) as site:
        allowed = {"Authorization": basic(b"user:secret")}

        assert [site.ask(f"/mon{path}", **allowed).status for path in OURS] == [200] * len(OURS)
        assert [site.ask(f"/mon{path}").status for path in OURS] == [401] * len(OURS)
        assert [site.ask(path, **allowed).status for path in OURS] == [404] * len(OURS)
        assert 'href="/mon/dispatch"' in site.ask("/mon/tasks", **allowed).text


@pytest.mark.parametrize("page", ["/", "/workers", "/tasks", "/nowhere", "/dispatch"])
def test_tab_is_on_every_page(serve: Serve, page: str) -> None:
    """Dispatch is one click away from every page of Flower, and its tab is marked on its own page."""
    with serve() as site:
        text = site.ask(page).text

    assert text.count('href="/dispatch"') == 1
    assert text.count('aria-current="page"') == (0 if page == "/nowhere" else 1)
    assert text.index("Broker</a>") < text.index("Dispatch</a>") < text.index('aria-label="Select theme"')


def test_page_is_titled_as_flowers_are(serve: Serve) -> None:
    """The title has the page's name and Flower's."""
    with serve() as site:
        assert "<title>Dispatch · Flower</title>" in site.ask("/dispatch").text


@pytest.mark.parametrize(
    ("host", "options", "status"),
    [
        ("localhost", {}, 200),
        ("LOCALHOST.:5555", {}, 200),
        ("[::1]:5555", {}, 200),
        ("127.0.0.1:1", {}, 200),
        ("evil.example", {}, 421),
        ("127.0.0.1.evil.example", {}, 421),
        ("evil.example", {"allowed_hosts": ["flower", "other.example"]}, 421),
        ("flower:5555", {"allowed_hosts": ["flower", "other.example"]}, 200),
        ("evil.example", {"allowed_hosts": ["*"]}, 200),
        (None, {}, 421),
        (None, {"allowed_hosts": ["*"]}, 200),
    ],
)
def test_every_address_answers_under_known_names_only(
    serve: Serve, host: str | None, options: dict[str, Any], status: int
) -> None:
    """A web page whose host name was rebound to our address (DNS rebinding) can read nothing."""
    paths = (*OURS, *FLOWERS, *OPEN)
    with serve(**options) as site:
        answers = {path: site.ask(path, host=host) for path in paths}

    assert {path: answer.status for path, answer in answers.items()} == dict.fromkeys(paths, status)
    if status == 421:
        assert all("--allowed_hosts=" in answer.text and "<" not in answer.text for answer in answers.values())


def test_unknown_host_name_is_refused_before_credentials_are_asked_for(serve: Serve) -> None:
    """No browser may offer to send a password there."""
    with serve(basic_auth=["user:secret"]) as site:
        answer = site.ask("/dispatch", host="evil.example")

    assert answer.status == 421
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/dispatch", "/dispatch/data", "/dispatch/now", "/dispatch/assets/report.js"])
def test_page_can_be_read_and_nothing_else(serve: Serve, path: str, method: str) -> None:
    """None of our addresses changes anything."""
    with serve() as site:
        answer = site.ask(path, method)

        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        head = site.ask(path, "HEAD")
        assert (head.status, head.text) == (200, "")
        assert head.headers["Content-Type"] == site.ask(path).headers["Content-Type"]


def test_answers_have_security_headers(serve: Serve) -> None:
    """Scripts, styles and data come from the page's own host only, and no other page may frame it."""
    with serve() as site:
        ours = [site.ask(path).headers for path in OURS]
        flowers = [site.ask(path).headers for path in (*FLOWERS, *OPEN, "/nowhere")]

    for headers in ours:
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
    for headers in flowers:
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert {(headers["X-Frame-Options"], headers["X-Content-Type-Options"]) for headers in (*ours, *flowers[:3])} == {
        ("DENY", "nosniff")
    }


def test_data_is_fresh_json_of_the_run_that_was_asked_for(serve: Serve) -> None:
    """The run's name reaches the monitor unchanged, and no cache keeps the answer."""
    with serve() as site:
        answer = site.ask("/dispatch/data?run=%22a%26b%22%20%C3%BC")

    assert answer.json["run"] == '"a&b" ü'
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_now_is_json_of_the_window_that_was_asked_for(serve: Serve) -> None:
    """A minute unless another is asked for, and only one that is known."""
    with serve() as site:
        told = {window: site.ask(f"/dispatch/now{window}").json for window in ("", "?window=900", "?window=all")}
        refused = site.ask("/dispatch/now?window=61")

    assert [one["window_s"] for one in told.values()] == [60, 900, None]
    assert refused.status == 400


@pytest.mark.parametrize("path", ["/dispatch/data", "/dispatch/now"])
def test_json_is_compressed_for_a_client_that_accepts_it(serve: Serve, path: str) -> None:
    """And for no other."""
    with serve() as site:
        plain = site.ask(path)
        zipped = site.ask(path, Accept_Encoding="gzip, deflate")

    assert ("Content-Encoding" in plain.headers, zipped.headers["Content-Encoding"]) == (False, "gzip")
    assert zipped.json == plain.json
    assert zipped.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", ["report.js", "report.css", "race.js", "now.js", "dispatch.css", "now.css"])
def test_asset_is_loaded_once(serve: Serve, name: str) -> None:
    """A browser that has it gets 304."""
    with serve() as site:
        first = site.ask(f"/dispatch/assets/{name}")
        again = site.ask(f"/dispatch/assets/{name}", If_None_Match=first.headers["ETag"])

    assert (first.status, again.status, again.text) == (200, 304, "")
    assert first.headers["Content-Type"].startswith("text/javascript" if name.endswith(".js") else "text/css")


@pytest.mark.parametrize("name", ["", "..", "%2e%2e%2fhosts.py", "../hosts.py", "..%2F..%2Ferrors.py", "%00", "x.js"])
def test_only_assets_are_served_as_assets(serve: Serve, name: str) -> None:
    """No address of an asset leads to another file."""
    with serve() as site:
        assert site.ask(f"/dispatch/assets/{name}").status == 404


def test_tasks_of_a_journal_are_found_and_those_that_flower_has_forgotten_lead_to_their_attempts(
    serve: Serve, tmp_path: Path
) -> None:
    """By words with the arguments, where that was asked for; what cannot be searched for is said in a sentence."""
    path = tmp_path / "run.sqlite"
    with JournalWriter(path) as writer:
        writer.put_attempts([Attempt(task_id="a/b ü", state="failed", worker="w", arguments="('Anna',)", sent=1.0)])
        writer.commit()
    with serve(open_journal=str(path), search_arguments=True) as site:
        (found,) = site.ask("/dispatch/tasks?words=arguments:anna").json["attempts"]
        refused = site.ask("/dispatch/tasks?words=state:done")
        task = site.ask("/dispatch/task/a%2Fb%20%C3%BC").json
        forgotten = site.ask("/task/a%2Fb%20%C3%BC")
        nonsense = site.ask("/dispatch/tasks?worker=w&since=x&until=1").status

    assert (found["id"], found["arguments"]) == ("a/b ü", "('Anna',)")
    assert (refused.status, "There is no state" in refused.text) == (400, True)
    assert (task["attempts"], task["in_flower"]) == ([found], False)
    assert "--max_tasks" in task["flower_said"]
    assert (forgotten.status, forgotten.headers["Location"]) == (302, "/dispatch?task=a%2Fb%20%C3%BC")
    assert nonsense == 400
