"""
test/checker/world.py
    What there is in the checker's world: who is told of what, and by whom.

It is made of what ordinary users have, for each of these was once mistaken for
another: tables whose rows have equal ids, organizations whose merchants share a
host, endpoints that refuse beside endpoints that don't, destinations that nobody
answers at, objects that move to a subscription's URL and away again, and triggers of
the user's own that change a row again.  Who has subscribed is in subscriptions.py.

An object is (kind, org, id), a transition (kind, org, id, status), and a delivery
a transition with its endpoint: the URL without its query.  A status is
"<version>.<token>"; it has dots in it, as has one of the kinds, so that nobody can
tell kind and status apart by cutting the event's name at a dot.
"""

import socket
from urllib.parse import urlsplit

from subscriptions import APART, plain, with_terms, with_terms_on_nodes

TABLES = {
    "payment": "checker.payments",
    "payout": "checker.payouts",
    "shop.order": "checker.orders",
}
ORGS = ["alpha", "beta", "gamma"]
FIRST_SECRETS = {org: f"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS{org[0]}" for org in ORGS}

# First part of a path, after which a receiver answers: see receiver.mjs.
GOOD = ["own", "sub", "sealed"]
REFUSING = ["404", "401", "500", "422"]
UNANSWERED = ["hang", "reset"]
LIMITING = ["limit-0", "limit-past", "limit-1", "limit-date"]

# What Retry-After is at least, in seconds.
RETRY_AFTER = {"limit-1": 1, "limit-date": 1}

EXTENSION = """
CREATE EXTENSION kgwebhook CASCADE;
"""

COMMON = """
CREATE SCHEMA checker;
CREATE TABLE checker.audit (
    kind text NOT NULL,
    org text NOT NULL,
    id text NOT NULL,
    status text NOT NULL,
    url text,
    color text,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE FUNCTION checker.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO checker.audit VALUES (TG_ARGV[0], NEW.org, NEW.id, NEW.status, NEW.url, NEW.color);
    RETURN NULL;
END $$;
CREATE FUNCTION checker.again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %s SET version = version + 1, batch = NULL,'
                   ' status = (version + 1) || ''.'' || batch || ''n'' WHERE batch = $1',
                   TG_RELID::regclass) USING NEW.batch;
    RETURN NULL;
END $$;
"""

TABLE = """
CREATE TABLE {table} (
    org text NOT NULL,
    id text NOT NULL,
    status text NOT NULL,
    version int NOT NULL,
    url text,
    color text,
    batch text,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org, id));
"""

# The first of a statement's rows to fire "again" changes all of them once more, before
# the triggers of the others have fired.
TRIGGERS = """
CREATE INDEX ON {table} (batch) WHERE batch IS NOT NULL;
CREATE TRIGGER {again} AFTER UPDATE ON {table}
    FOR EACH ROW WHEN (NEW.batch IS NOT NULL) EXECUTE FUNCTION checker.again();
CREATE TRIGGER note AFTER INSERT OR UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION checker.note('{kind}');
"""

WATCH = """
SELECT kg_watch('{table}', '{kind}', 'id', 'status', 'url', 'org',
                '{{"object": "id", "status": "status", "org": "org", "color": "color"}}');
"""


def split_event(event):
    """Kind and status of an event's name."""
    for kind in TABLES:
        if event.startswith(kind + "."):
            return kind, event[len(kind) + 1:]
    return event, ""


def version_of(status):
    """The number of a transition within its object."""
    return int(status.split(".")[0])


def endpoint_of(url):
    """What answers there: the URL without its query."""
    return url.partition("?")[0]


def destination_of(url):
    """scheme://host:port, and of an endpoint the first part of its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def manner_of(url):
    """How the endpoint answers: the first part of its path."""
    return urlsplit(url).path.split("/")[1]


def is_apart(url):
    """Whether it is a subscription's alone, in lines of its own."""
    return manner_of(url) in APART


def is_good(url):
    """Whether the endpoint acknowledges what it gets, when it is healthy."""
    return manner_of(url) in GOOD


class Nobody:
    """Ports at which someone is, and nobody answers."""

    def __init__(self):
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        self._silent = socket.socket()
        self._silent.bind(("127.0.0.1", 0))
        self._silent.listen(1)
        self.refusing = self._refusing.getsockname()[1]
        self.silent = self._silent.getsockname()[1]


class World:
    """The receivers' URLs, and who subscribes to what."""

    def __init__(self, receivers, limiter, quiet):
        self.bases = [receiver.url for receiver in receivers]
        self.limiter = limiter.url
        self.quiet = quiet.url
        self._nobody = Nobody()
        self.down = [
            f"http://127.0.0.1:{self._nobody.refusing}/",
            f"http://127.0.0.1:{self._nobody.silent}/",
            self.bases[0].replace("http:", "https:"),   # which doesn't speak TLS
            "http://[::1]:8080/",                       # which isn't allowed
        ]
        # in the order of their numbers, from 1 on
        self.subscriptions = plain(self.bases, TABLES) + with_terms(self.bases)

    def numbers(self, *manners):
        """The subscriptions of such manners, or all, by their numbers."""
        return {number: it for number, it in enumerate(self.subscriptions, 1)
                if it.manner in manners or not manners}

    def _tables(self, *what):
        parts = []
        for kind, table in TABLES.items():
            # before ours and after ours, as triggers go by name
            again = "zz_again" if kind == "payout" else "again"
            parts.append("".join(what).format(kind=kind, table=table, again=again))
        return "".join(parts)

    def setup(self):
        """The statements that make it."""
        return EXTENSION + COMMON + self._tables(TABLE, TRIGGERS, WATCH) + self._receivers()

    def _receivers(self):
        parts = []
        for org, secret in FIRST_SECRETS.items():
            parts.append(f"SELECT kg_set_secret('{org}', '{secret}');")
        parts += [subscription.setup() for subscription in self.subscriptions]
        return "".join(parts)

    def endpoints(self, kind, org, url, color):
        """Who is to be told of a transition of such an object."""
        own = [endpoint_of(url)] if url else []
        return own + [it.url for it in self.subscriptions
                      if it.wants(kind, org, color) and it.url != url]

    def other_url(self, rng, org, token):
        """Where an object may move: to its organization's subscription, or elsewhere.

        Both acknowledge, for what refuses holds up whatever comes after it.
        """
        subscribed = [it.url for it in self.subscriptions
                      if it.org == org and it.manner == "sub"]
        return rng.choice([*subscribed, self.good_url(rng, org, token)])

    def good_url(self, rng, org, token, base=None):
        """A URL that is healthy; some have an id in their query."""
        url = f"{base or rng.choice(self.bases)}own/{org}/{rng.randint(0, 1)}"
        return f"{url}?id={token}" if rng.random() < 0.3 else url

    def good_prefixes(self):
        """What the URLs of healthy endpoints begin with."""
        return [f"{base}{manner}/" for base in self.bases for manner in GOOD]

    def bad_url(self, rng, org, token):
        """A URL that never acknowledges, and its base.

        Half of them are an endpoint of their own, which few objects make neither
        failing nor healthy; the others share one.
        """
        base, manners = rng.choices(
            [(rng.choice(self.bases), REFUSING + UNANSWERED + LIMITING),
             (self.limiter, LIMITING),
             (rng.choice(self.down), ["own"])], [6, 2, 2])[0]
        url = f"{base}{rng.choice(manners)}/{org}"
        return (f"{url}/{token}" if rng.random() < 0.5 else url), base

    def quiet_urls(self, rng, org, token):
        """A URL that refuses at a host where little is acknowledged, and one that is healthy.

        Elsewhere something always acknowledges, and hides that a host is taken for
        failing when only some of its endpoints are.
        """
        manner = rng.choice(["404", "401", "500"])
        return f"{self.quiet}{manner}/{org}/{token}", f"{self.quiet}own/{org}"

    def is_down(self, url):
        """Whether nobody answers there, also at the end."""
        return any(url.startswith(base) for base in self.down)


class NodesWorld(World):
    """The same on two sides, and everyone acknowledges: see nodes.py."""

    def __init__(self, receivers):
        super().__init__(receivers + receivers[:1], receivers[0], receivers[0])
        self.subscriptions = plain(self.bases, TABLES) + with_terms_on_nodes(self.bases)

    def source_setup(self):
        """What there is at the source."""
        return COMMON + self._tables(TABLE, TRIGGERS)

    def node_setup(self):
        """What there is on each node."""
        return EXTENSION + "CREATE SCHEMA checker;" + self._tables(TABLE, WATCH)

    def control_setup(self):
        """What is decided on one node, and arrives at the others."""
        return self._receivers()

    def bad_url(self, rng, org, token):
        base = rng.choice(self.bases)
        return self.good_url(rng, org, token, base), base

    def quiet_urls(self, rng, org, token):
        return self.good_url(rng, org, token), self.good_url(rng, org, token)
