"""
test/checker/writers.py
    Concurrent sessions that change statuses in every way a transaction can.

A transition is known by its object and its status, which no other transition of the
object ever has: "<version>.<writer>.<number>", the version counted by the object's
row.  So what was rolled back, or lost in a crash, can't be taken for what took its
place.  Objects of other tables and organizations have the same ids, and the same
statuses.

The truth of what was committed is the table checker.audit, written by a trigger
in the same transaction.  A writer besides remembers what the server promised
it: transitions whose COMMIT, with synchronous_commit on, was answered.
"""

import random
import subprocess
import threading

from subscriptions import COLORS
from world import ORGS, TABLES

# Objects that may be changed again: those whose endpoints are healthy, and the others.
REMEMBERED = {False: 400, True: 60}

# Deliveries that wait at healthy endpoints, beyond which writers take their
# time: else a machine that is slower than its writers would make all of them late.
BACKLOG = 150

# How many of the inserts go to someone who doesn't acknowledge.
TROUBLE = 0.04

# How many of these go to the quiet host, and how many of them have a healthy neighbor.
QUIET = 0.4
NEIGHBOR = 0.4

# How many transactions have their number early and wait for so many seconds before they go on;
# how many changes are of the few objects that everyone changes: so later ones come before them.
WAITING = 0.15
WAIT = 0.4
CROWDED = 0.3
CROWD = 6

# How many of the changes of one object give it another URL.
MOVES = 0.15

# How many change what filters look at.
DYES = 0.3


def literal(text):
    """A word in SQL."""
    return f"'{text}'" if text else "NULL"


class Shared:
    """What all writers share: objects to change, and promises."""

    def __init__(self, server, world):
        self.server = server
        self.world = world
        self.lock = threading.Lock()
        self.objects = {False: [], True: []}
        self.promised = []
        self.asynchronous = []
        self.rolled_back = 0
        self.prepared = 0
        self.failed = 0
        self.running = threading.Event()
        self.busy = threading.Event()
        self.over = threading.Event()

    def remember(self, objects, troubled):
        """Objects that others may change, too; the oldest are let go."""
        with self.lock:
            self.objects[troubled].extend(objects)
            del self.objects[troubled][:-REMEMBERED[troubled]]


class Watcher(threading.Thread):
    """Looks whether writers have to take their time."""

    def __init__(self, shared):
        super().__init__(daemon=True)
        self.shared = shared

    def run(self):
        well = " OR ".join(f"starts_with(url, '{prefix}')"
                           for prefix in self.shared.world.good_prefixes())
        query = ("SELECT count(*) FROM (SELECT FROM kgwebhook.queue"
                 f" WHERE {well} LIMIT {BACKLOG}) q")
        while not self.shared.over.wait(0.3):
            try:
                waiting = self.shared.server.sql(query, 5)
            except subprocess.TimeoutExpired:
                continue
            if waiting == [str(BACKLOG)]:
                self.shared.busy.set()
            elif waiting is not None:
                self.shared.busy.clear()


class Writer(threading.Thread):
    """One session after the other, transaction after transaction."""

    def __init__(self, shared, number, seed):
        super().__init__(daemon=True)
        self.shared = shared
        self.number = number
        self.random = random.Random(f"{seed} writer {number}")
        self.count = 0
        self.psql = None
        self.idle = threading.Event()
        self.idle.set()
        self.error = None

    def run(self):
        try:
            while not self.shared.over.is_set():
                if not self.shared.running.wait(0.2):
                    continue
                self.idle.clear()
                if self.shared.running.is_set():
                    self._session()
                self.idle.set()
        except Exception as error:  # reported by the main thread
            self.error = error
            self.idle.set()

    def _session(self):
        """Transactions until one fails, or the writers are told to pause."""
        with subprocess.Popen(
                self.shared.server.psql(), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True) as self.psql:
            self._send("SET lock_timeout = '500ms'; SET statement_timeout = '20s';")
            while self.shared.running.is_set():
                if not self._transaction():
                    with self.shared.lock:
                        self.shared.failed += 1
                    break
                self.shared.over.wait(self.random.uniform(0, 0.08))
                if self.shared.busy.is_set():
                    self.shared.over.wait(self.random.uniform(0.5, 1.5))
            try:
                self.psql.stdin.close()
            except BrokenPipeError:
                pass
        self.shared.over.wait(0.1)

    def _send(self, text):
        try:
            self.psql.stdin.write(text + "\n")
            self.psql.stdin.flush()
        except BrokenPipeError:
            pass                # it shows when the answer is missing

    def _token(self):
        self.count += 1
        return f"{self.number}.{self.count}"

    def _insert(self):
        """Creates objects, seldom many; returns SQL, and which of them to remember."""
        token = self._token()
        if self.random.random() < TROUBLE:
            return self._insert_trouble(token)
        many = self.random.random()
        n = 300 if many < 0.01 else 40 if many < 0.04 else self.random.randint(1, 2)
        sql = []
        created = []
        for kind in self.random.sample(list(TABLES), self.random.choice([1, 1, 2])):
            org = self.random.choices(ORGS, [3, 3, 1])[0]
            url = None if self.random.random() < 0.05 else \
                self.shared.world.good_url(self.random, org, token)
            sql.append(self._rows(kind, org, token, url, n))
            created.extend((kind, org, f"{token}-{i}") for i in range(1, min(n, 5) + 1))
        return "\n".join(sql), created, False

    def _insert_trouble(self, token):
        """An object for someone who doesn't acknowledge, and one for a neighbor.

        They have one id and one host, and the one that is to arrive comes last.  What
        isn't acknowledged has something newer waiting behind it at once.
        """
        kind, other = self.random.sample(list(TABLES), 2)
        org = self.random.choice(ORGS)
        neighbor = self.random.choice(ORGS)
        if self.random.random() < QUIET:
            url, good = self.shared.world.quiet_urls(self.random, org, token)
            sql = self._rows(kind, org, token, url, 3)
            if self.random.random() < NEIGHBOR:
                sql += "\n" + self._rows(other, org, token, good, 1)
            return sql, [], True
        url, base = self.shared.world.bad_url(self.random, org, token)
        if base not in self.shared.world.bases:
            base = None
        good = self.shared.world.good_url(self.random, neighbor, token, base)
        return (self._rows(kind, org, token, url, 1) + "\n"
                + self._change(kind, [(kind, org, f"{token}-1")], False) + "\n"
                + self._rows(other, neighbor, token, good, 1),
                [(kind, org, f"{token}-1")], True)

    def _rows(self, kind, org, token, url, n):
        """New objects by INSERT or by COPY."""
        status = f"1.{token}"
        into = f"{TABLES[kind]} (org, id, status, version, url, color)"
        color = self.random.choice(COLORS)
        if self.random.random() < 0.8:
            url = f"'{url}'" if url else "NULL"
            return (f"INSERT INTO {into} SELECT '{org}', '{token}-' || i, '{status}', 1,"
                    f" {url}, {literal(color)} FROM generate_series(1, {n}) i"
                    f" RETURNING '{kind}', org, id, status;")
        ids = [f"{token}-{i}" for i in range(1, n + 1)]
        null = chr(92) + "N"
        rows = [f"{org}\t{i}\t{status}\t1\t{url or null}\t{color or null}" for i in ids]
        return "\n".join([f"COPY {into} FROM stdin;", *rows, "\\.",
                          *(f"\\echo {kind}|{org}|{i}|{status}" for i in ids)])

    def _update(self):
        """Changes some objects at random, in any order: deadlocks come of it."""
        with self.shared.lock:
            known = self.shared.objects[self.random.random() < 0.04][:]
        if not known:
            return ""
        if self.random.random() < CROWDED:
            known = known[:CROWD]
        chosen = self.random.choices(known, k=self.random.randint(1, 3))
        if self.random.random() < 0.3:
            # several rows in one statement, and a trigger that changes them again
            kind = chosen[0][0]
            same = [thing for thing in known if thing[0] == kind]
            return self._change(kind, self.random.sample(same, min(3, len(same))), True)
        return "".join(self._change(thing[0], [thing], self.random.random() < 0.1)
                       for thing in chosen)

    def _change(self, kind, things, again):
        token = self._token()
        moves = ""
        if len(things) == 1 and self.random.random() < MOVES:
            url = self.shared.world.other_url(self.random, things[0][1], token)
            moves = f" url = '{url}',"
        if self.random.random() < DYES:
            moves += f" color = {literal(self.random.choice(COLORS))},"
        keys = ", ".join(f"('{org}', '{object_id}')" for _, org, object_id in things)
        return (f"UPDATE {TABLES[kind]} SET version = version + 1,{moves}"
                f" status = (version + 1) || '.{token}',"
                f" batch = {repr(token) if again else 'NULL'} WHERE (org, id) IN ({keys})"
                f" RETURNING '{kind}', org, id, status;")

    def _body(self):
        """What a transaction does, with savepoints; SQL and new objects."""
        parts = []
        created = []
        if self.random.random() < WAITING:
            parts.append("DO $$BEGIN PERFORM pg_current_xact_id(), pg_sleep("
                         f"{self.random.uniform(0, WAIT):.2f}); END$$;")
        for _ in range(self.random.randint(1, 3)):
            if self.random.random() < 0.3:
                sql, things, troubled = self._insert()
                created.append((things, troubled))
            else:
                sql = self._update()
            if self.random.random() < 0.25:
                undone = self.random.random() < 0.6
                sql = "\n".join(
                    ["\\echo (", "SAVEPOINT s;", sql,
                     "ROLLBACK TO s;" if undone else "RELEASE s;",
                     "\\echo undo" if undone else "\\echo )"])
            parts.append(sql)
        return "\n".join(parts), created

    def _transaction(self):
        """One transaction; False when the session is no good any more."""
        asynchronous = self.random.random() < 0.4
        body, created = self._body()
        end = self.random.choices(["COMMIT", "ROLLBACK", "PREPARE"], [75, 15, 10])[0]
        gid = f"g{self._token()}"
        self._send(
            f"BEGIN; SET LOCAL synchronous_commit = {'off' if asynchronous else 'on'};\n"
            + body + "\n"
            + (f"PREPARE TRANSACTION '{gid}';" if end == "PREPARE" else f"{end};")
            + "\n\\echo end")
        done = self._answer()
        if done is None:
            return False
        if end == "PREPARE":
            return self._second_phase(gid, done, created)
        self._take_note(end == "COMMIT", asynchronous, done, created)
        return True

    def _second_phase(self, gid, done, created):
        """Ends a prepared transaction, unless it is left for later."""
        with self.shared.lock:
            self.shared.prepared += 1
        if self.random.random() < 0.1:
            return True
        self.shared.over.wait(self.random.uniform(0, 0.6))
        word = self.random.choice(["COMMIT", "COMMIT", "ROLLBACK"])
        self._send(f"{word} PREPARED '{gid}';\n\\echo end")
        if self._answer() is None:
            return False
        self._take_note(word == "COMMIT", False, done, created)
        return True

    def _answer(self):
        """The transitions that a transaction made, or None."""
        made = []
        marks = []
        for line in self.psql.stdout:
            line = line.rstrip("\n")
            if line == "end":
                return made
            if line == "(":
                marks.append(len(made))
            elif line == ")":
                marks.pop()
            elif line == "undo":
                del made[marks.pop():]
            elif line:
                made.append(tuple(line.split("|")))
        return None

    def _take_note(self, committed, asynchronous, made, created):
        if not committed:
            with self.shared.lock:
                self.shared.rolled_back += len(made)
            return
        with self.shared.lock:
            if asynchronous:
                self.shared.asynchronous.extend(made)
            else:
                self.shared.promised.extend(made)
        there = {transition[:3] for transition in made}
        for things, troubled in created:
            self.shared.remember([thing for thing in things if thing in there], troubled)


def pause(shared, writers):
    """Has all sessions end; returns when they have."""
    shared.running.clear()
    for writer in writers:
        writer.idle.wait(60)


def end_prepared(server, rng, seconds=0):
    """Commits or rolls back what has been left prepared for so long."""
    for gid in server.sql("SELECT gid FROM pg_prepared_xacts WHERE prepared <="
                          f" now() - interval '{seconds} s'") or []:
        server.sql(f"{rng.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{gid}'")
