"""
bench/soak/ledger.py
    Every event, made, acknowledged or settled otherwise, counted one by one.

An event is a payment's number and one of three kinds: its first status, its second, and
the second as its organization's subscription gets it.  A byte each is enough for what
is compared at the end: an event that was made has to have arrived once where 200 was
answered, or to have become a dead letter, or to have been superseded.  So a run of two
hours takes some megabytes here, and the tables may forget what is over.
"""

KINDS = ("pending", "success", "hook")


class Counts:
    """How often each number came, up to 255 times."""

    def __init__(self):
        self._of = bytearray()

    def add(self, number):
        if number >= len(self._of):
            self._of.extend(bytes(number + 65536 - len(self._of)))
        self._of[number] = min(255, self._of[number] + 1)

    def __getitem__(self, number):
        return self._of[number] if number < len(self._of) else 0

    def __len__(self):
        return len(self._of)

    def total(self):
        return sum(self._of)


def number_of(payment):
    """Of "pi_000000000042", 42."""
    return int(payment.rpartition("_")[2])


class Ledger:
    def __init__(self):
        self.made = {kind: Counts() for kind in KINDS}
        self.acknowledged = {kind: Counts() for kind in KINDS}
        self.settled = {kind: Counts() for kind in KINDS}      # in another way
        self.refused = 0

    def add_payment(self, payment, status, org):
        """A payment as its table has it, once it changes no more."""
        number = number_of(payment)
        self.made["pending"].add(number)
        if status == "success":
            self.made["success"].add(number)
            if org == "m1":
                self.made["hook"].add(number)

    def add_arrival(self, group, number, letter, acknowledged):
        """A request that a receiver got: the first letter of its status tells which."""
        if not acknowledged:
            self.refused += 1
        elif group == "hook":
            self.acknowledged["hook"].add(number)
        else:
            self.acknowledged["pending" if letter == "p" else "success"].add(number)

    def add_settled(self, payment, status, subscribed):
        """A dead letter, or what was superseded."""
        self.settled["hook" if subscribed else status].add(number_of(payment))

    def acknowledged_so_far(self):
        return sum(counts.total() for counts in self.acknowledged.values())

    def compare(self):
        """{what: how many events}; all but the first three have to be zero."""
        found = dict.fromkeys(("made", "acknowledged", "settled otherwise", "lost",
                               "doubled", "invented", "given up though acknowledged"),
                              0)
        for kind in KINDS:
            made, got, other = (which[kind] for which in (self.made,
                                self.acknowledged, self.settled))
            for number in range(max(len(made), len(got), len(other))):
                arrivals, others = got[number], other[number]
                found["made"] += made[number] > 0
                found["acknowledged"] += arrivals > 0
                found["settled otherwise"] += others > 0
                found["lost"] += made[number] > 0 and not arrivals and not others
                found["doubled"] += arrivals > 1
                found["invented"] += not made[number] and arrivals + others > 0
                found["given up though acknowledged"] += arrivals > 0 and others > 0
        return found
