"""
test/checker/writers.py
    Concurrent sessions that change statuses in every way a transaction can.

A transition is known by its object and its status, which nothing else ever
has: "<version>.<writer>.<number>", the version counted by the object's row.  So
what was rolled back, or lost in a crash, can't be taken for what took its place.

The truth of what was committed is the table checker.audit, written by a trigger
in the same transaction.  A writer besides remembers what the server promised
it: transitions whose COMMIT, with synchronous_commit on, was answered.
"""

import random
import subprocess
import threading

SETUP = """
CREATE EXTENSION kgwebhook CASCADE;
CREATE SCHEMA checker;
CREATE TABLE checker.objects (
    id text PRIMARY KEY,
    status text NOT NULL,
    version int NOT NULL,
    url text);
CREATE TABLE checker.audit (
    object text NOT NULL,
    status text NOT NULL,
    version int NOT NULL,
    has_url boolean NOT NULL);
CREATE FUNCTION checker.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO checker.audit
        VALUES (NEW.id, NEW.status, NEW.version, NEW.url IS NOT NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON checker.objects
    FOR EACH ROW EXECUTE FUNCTION checker.note();
SELECT kg_watch('checker.objects', id_column => 'id', url_column => 'url',
                org_column => NULL,
                payload => '{"object": "id", "status": "status"}');
"""

OBJECTS_REMEMBERED = 400


class Shared:
    """What all writers share: objects to change, and promises."""

    def __init__(self, server, urls):
        self.server = server
        self.urls = urls
        self.lock = threading.Lock()
        self.objects = []
        self.promised = []
        self.asynchronous = []
        self.rolled_back = 0
        self.prepared = 0
        self.failed = 0
        self.running = threading.Event()
        self.over = threading.Event()

    def remember(self, ids):
        """Objects that others may change, too; the oldest are let go."""
        with self.lock:
            self.objects.extend(ids)
            del self.objects[:-OBJECTS_REMEMBERED]


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
        """Creates some objects, seldom many; returns SQL and their ids."""
        many = self.random.random()
        n = 300 if many < 0.01 else 40 if many < 0.04 else self.random.randint(1, 3)
        token = self._token()
        url = "NULL" if self.random.random() < 0.05 else \
            f"'{self.random.choice(self.shared.urls)}'"
        ids = [f"{token}-{i}" for i in range(1, n + 1)]
        return (f"INSERT INTO checker.objects SELECT '{token}-' || i, '1.{token}',"
                f" 1, {url} FROM generate_series(1, {n}) i RETURNING id, status;"), ids

    def _update(self):
        """Changes some objects at random, in any order: deadlocks come of it."""
        with self.shared.lock:
            known = self.shared.objects[:]
        if not known:
            return ""
        return "".join(
            "UPDATE checker.objects SET version = version + 1, status ="
            f" (version + 1) || '.{self._token()}' WHERE id = '{object_id}'"
            " RETURNING id, status;"
            for object_id in self.random.choices(known, k=self.random.randint(1, 3)))

    def _body(self):
        """What a transaction does, with savepoints; SQL and new objects."""
        parts = []
        created = []
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.random()
            if kind < 0.3:
                sql, ids = self._insert()
                created.extend(ids)
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
                object_id, _, status = line.partition("|")
                made.append((object_id, status))
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
        there = {object_id for object_id, _ in made}
        self.shared.remember([i for i in created if i in there][:5])


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
