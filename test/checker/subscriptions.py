"""
test/checker/subscriptions.py
    Who has subscribed, and to what: by kind, by filter, and on which terms.

A filter is by the member "color", which an object may change and may lack.  Terms are
a secret of one's own, a rate limit, and a challenge that has to be answered first; an
endpoint with one of these has a manner of its own (the first part of its path), and
is the subscription's alone, even for an object whose own URL it is.
"""

from dataclasses import dataclass

COLORS = ["red", "green", "blue", None]

# Requests a second: less than comes, so that it always counts.  Over nodes it counts where
# many come at once, because an organization leaves a node with the last that waits.
RATE = 4
NODES_RATE = 10

# Manners of endpoints that are a subscription's alone.
APART = ["sealed", "rated", "consent"]


@dataclass(frozen=True)
class Subscription:
    """An endpoint of an organization, and what it gets."""

    org: str
    url: str
    kinds: tuple
    colors: tuple = ()
    rate: float = RATE      # where it has such a term

    @property
    def name(self):
        """Its path, by which a receiver knows it."""
        return "/".join(self.url.split("/")[3:])

    @property
    def manner(self):
        """The first part of its path."""
        return self.name.split("/")[0]

    def wants(self, kind, org, color):
        """Whether it is to be told of a transition of such an object."""
        return (self.org == org and kind in self.kinds
                and (not self.colors or color in self.colors))

    def setup(self):
        """The statement that makes it."""
        events = ",".join(f"{kind}.*" for kind in self.kinds)
        colors = ", ".join(f'"{color}"' for color in self.colors)
        options = f", filter => '{{\"color\": [{colors}]}}'" if self.colors else ""
        if self.manner == "rated":
            options += f", rate_limit => {self.rate}"
        if self.manner == "consent":
            options += ", verify => true"
        made = f"kg_subscribe('{self.org}', '{self.url}', '{{{events}}}'{options})"
        return f"SELECT kg_create_secret({made});" if self.manner == "sealed" else f"SELECT {made};"


def plain(bases, kinds):
    """Those that have nothing but kinds and filters, and acknowledge."""
    return [
        Subscription("alpha", f"{bases[0]}sub/alpha", tuple(kinds)),
        Subscription("beta", f"{bases[1]}sub/beta", ("payment", "payout")),
        Subscription("gamma", f"{bases[1]}sub/filtered", tuple(kinds), ("red", "blue")),
    ]


def with_terms(bases):
    """Those that refuse, and those that have terms of their own."""
    return [
        Subscription("gamma", f"{bases[2]}404/gamma", ("payout",)),
        Subscription("gamma", f"{bases[0]}sealed/gamma", ("payment",)),
        Subscription("beta", f"{bases[2]}rated/beta", ("shop.order",)),
        Subscription("alpha", f"{bases[1]}consent/alpha", ("payout",), ("green",)),
    ]


def with_terms_on_nodes(bases):
    """Those with terms of their own that do not hold up a move for long."""
    return [
        Subscription("gamma", f"{bases[0]}sealed/gamma", ("payment",)),
        Subscription("beta", f"{bases[1]}rated/beta", ("shop.order",), ("green",), NODES_RATE),
        Subscription("alpha", f"{bases[1]}consent/alpha", ("payout",), ("green",)),
    ]
