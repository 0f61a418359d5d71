/*
 * test/model/delivery.pml
 *	  From a transaction that changes a status to a delivery that is settled once.
 *
 * Five ideas of the product, and nothing else: how arrivals are found by snapshots,
 * order within an object, what may be superseded, what a crash leaves, and that an
 * outcome counts only when a crash can no longer undo it.  The README beside this file
 * says what is left out.  With -DBROKEN_... one of these ideas is left out too, and
 * check.sh wants spin to find that.
 *
 * Each transaction writes one row of the queue.  Transactions 0 and 1 (and 3 of
 * them in the deeper run) change one object, transaction 2 one of another table with
 * the same identifier at the same host.
 */

#ifndef TRANSACTIONS
#define TRANSACTIONS 3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef DEPARTURES
#define DEPARTURES 1
#endif
#ifndef REFUSALS
#define REFUSALS 1
#endif
#ifndef SILENCES
#define SILENCES 1
#endif

#define KIND(t)		((t) == 2)

/* In the short run, each transaction has its own way to end. */
#ifdef DEEP
#define CAN_ABORT(t)	true
#define CAN_LAG(t)		true
#define CAN_PREPARE(t)	true
#else
#define CAN_ABORT(t)	((t) == 0)
#define CAN_LAG(t)		((t) != 1)
#define CAN_PREPARE(t)	((t) == 1)
#endif

#ifdef BROKEN_OBJECT_BY_ID
#define SAME_CHAIN(a, b)	true
#else
#define SAME_CHAIN(a, b)	(KIND(a) == KIND(b))
#endif

mtype = { IDLE, OPEN, PREPARED, COMMITTED, ABORTED };
mtype = { WAITING, ACKNOWLEDGED, SUPERSEDED };

#define RUNS(t)		(status[t] == OPEN || status[t] == PREPARED)

/*
 * The server.  A commit is visible before it is on disk, unless it waits for that.  Places in
 * WAL are counted from what is on disk, so that states that differ in nothing else are one.
 */
mtype status[TRANSACTIONS] = IDLE;
byte xid[TRANSACTIONS];
byte number[TRANSACTIONS];		/* delivery_id; 0: no row yet */
byte lsn[TRANSACTIONS];			/* of the commit; 0: on disk, or never */
byte next_xid = 1;
byte latest_completed = 0;
byte next_number = 1;
byte next_lsn = 1;
bool locked[2];					/* the object's row, by kind */
mtype fate[TRANSACTIONS] = WAITING;
byte settled_at[TRANSACTIONS];	/* of the commit that settled it, likewise */
bool wake = true;
byte crashes = 0;
byte departures = 0;

/* What receivers have seen: only the properties look at it. */
bool seen[TRANSACTIONS];
bool refused[TRANSACTIONS];		/* the last attempt was answered, by a refusal */

/* The worker's memory. */
bool running = false;
bool known[TRANSACTIONS];
bool tried[TRANSACTIONS];
bool answered[TRANSACTIONS];	/* acknowledged, and not settled yet */
bool settled[TRANSACTIONS];		/* committed, and not known to be on disk */
byte last_xmax;					/* of the snapshot it looked by */
byte last_next;					/* the first number that wasn't handed out then */
bool last_xip[TRANSACTIONS];
#ifdef BROKEN_BY_NUMBER
byte last_number;
#endif

byte refusals = 0;
byte silences = 0;

hidden byte i;					/* none outlives a d_step */
hidden byte j;
hidden byte horizon;

/* All up to there is on disk. */
#define BEYOND(at)	((at) > horizon -> (at) - horizon : 0)

inline flush(upto)
{
	horizon = upto;
	j = 0;
	do
	:: j < TRANSACTIONS ->
		lsn[j] = BEYOND(lsn[j]);
		settled_at[j] = BEYOND(settled_at[j]);
		j++
	:: else -> break
	od;
	next_lsn = next_lsn - horizon
}

/*
 * Transactions
 */

inline finish(t, how)
{
	status[t] = how;
	locked[KIND(t)] = false;
	if
	:: xid[t] > latest_completed -> latest_completed = xid[t]
	:: else
	fi
}

inline commit(t)
{
	lsn[t] = next_lsn;
	next_lsn++;
	finish(t, COMMITTED)
}

proctype Writer(byte t)
{
	/* the number of the transaction may be older than the lock on the row */
	d_step { status[t] = OPEN; xid[t] = next_xid; next_xid++ }

	do
	:: d_step { status[t] == OPEN && number[t] == 0 && !locked[KIND(t)] ->
				locked[KIND(t)] = true; number[t] = next_number; next_number++ }
	:: d_step { CAN_ABORT(t) && status[t] == OPEN && number[t] > 0 -> finish(t, ABORTED) }
	:: d_step { status[t] == OPEN && number[t] > 0 ->
				commit(t); flush(lsn[t]); wake = true }
	/* synchronous_commit = off */
	:: d_step { CAN_LAG(t) && status[t] == OPEN && number[t] > 0 ->
				commit(t); wake = true }
	:: d_step { CAN_PREPARE(t) && status[t] == OPEN && number[t] > 0 ->
				status[t] = PREPARED; wake = true }
	/* by another session, perhaps, and nobody is told */
	:: d_step { status[t] == PREPARED -> commit(t); flush(lsn[t]) }
	:: d_step { CAN_ABORT(t) && status[t] == PREPARED -> finish(t, ABORTED) }
	:: status[t] == COMMITTED || status[t] == ABORTED -> break
	od
}

/* What the worker had in memory is gone. */
inline forget()
{
	i = 0;
	do
	:: i < TRANSACTIONS ->
		known[i] = false;
		tried[i] = false;
		answered[i] = false;
		settled[i] = false;
		i++
	:: else -> break
	od;
	running = false
}

/* What isn't on disk is undone, payment, row and outcome; what is prepared stays. */
inline crash()
{
	i = 0;
	do
	:: i < TRANSACTIONS ->
		if
		:: status[i] == OPEN -> finish(i, ABORTED)
		:: status[i] == COMMITTED && lsn[i] > 0 ->
			/* nobody may have been told of what never happened */
			assert(!seen[i]);
			status[i] = ABORTED
		:: else
		fi;
		if
		:: settled_at[i] > 0 -> fate[i] = WAITING
		:: else
		fi;
		lsn[i] = 0;
		settled_at[i] = 0;
		i++
	:: else -> break
	od;
	next_lsn = 1;
	forget()
}

/*
 * A worker that ends, by an error or because it is told to, while the server goes on.  The next
 * one finds what this one has settled gone, whether that is on disk or not.
 */
inline leave()
{
#ifndef BROKEN_LEAVE_UNFLUSHED
	flush(next_lsn - 1);
#endif
	forget()
}

/*
 * The worker
 */

inline remember_snapshot()
{
	last_xmax = latest_completed + 1;
	i = 0;
	do
	:: i < TRANSACTIONS ->
		last_xip[i] = (RUNS(i) && xid[i] < last_xmax);
		i++
	:: else -> break
	od;
	last_next = next_xid
}

inline take(t)
{
	known[t] = true;
#ifndef BROKEN_NO_FLUSH
	flush(lsn[t])
#endif
}

/* A worker that starts reads everything that is visible. */
inline read_backlog()
{
	i = 0;
	do
	:: i < TRANSACTIONS ->
		if
		:: status[i] == COMMITTED && fate[i] == WAITING -> take(i)
		:: else
		fi;
#ifdef BROKEN_BY_NUMBER
		if
		:: status[i] == COMMITTED && number[i] > last_number -> last_number = number[i]
		:: else
		fi;
#endif
		i++
	:: else -> break
	od;
	remember_snapshot();
	running = true;
	wake = false
}

#ifdef BROKEN_BY_NUMBER
#define IS_NEW(t)	(number[t] > last_number)
#elif defined(BROKEN_MET_TWICE)
#define IS_NEW(t)	(true)
#else
#define IS_NEW(t)	(last_xip[t] || xid[t] >= last_xmax)
#endif

/* What has become visible between two snapshots. */
inline look()
{
	wake = false;
	i = 0;
	do
	:: i < TRANSACTIONS ->
		if
		:: status[i] == COMMITTED && fate[i] == WAITING && IS_NEW(i) ->
			assert(!known[i]);		/* each is met once */
			take(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
#ifdef BROKEN_BY_NUMBER
	i = 0;
	do
	:: i < TRANSACTIONS ->
		if
		:: known[i] && number[i] > last_number -> last_number = number[i]
		:: else
		fi;
		i++
	:: else -> break
	od;
#endif
	remember_snapshot()
}

/* Whether transaction t ran at the last look, and runs no more. */
#ifdef BROKEN_POLL_XIP
#define ENDED(t)	(last_xip[t] && !RUNS(t))
#else
#define ENDED(t)	((last_xip[t] || (xid[t] >= last_xmax && xid[t] > 0 && \
					 xid[t] < last_next)) && !RUNS(t))
#endif

#if TRANSACTIONS > 3
#define ENDED_UNSEEN	(ENDED(0) || ENDED(1) || ENDED(2) || ENDED(3))
#define OTHERS(f, t)	(f(0, t) || f(1, t) || f(2, t) || f(3, t))
#else
#define ENDED_UNSEEN	(ENDED(0) || ENDED(1) || ENDED(2))
#define OTHERS(f, t)	(f(0, t) || f(1, t) || f(2, t))
#endif

#define IS_BEFORE(o, t)	(known[o] && number[o] < number[t] && SAME_CHAIN(o, t))
#define IS_AFTER(o, t)	(known[o] && number[o] > number[t] && SAME_CHAIN(o, t))
#ifdef BROKEN_NO_CHAIN
#define IS_HEAD(t)		(known[t])
#else
#define IS_HEAD(t)		(known[t] && !OTHERS(IS_BEFORE, t))
#endif

/* For the properties: by what an object is, not by what a chain is. */
#define NEWER_SEEN(o, t) \
	(seen[o] && number[o] > number[t] && KIND(o) == KIND(t))
#define OLDER_UNSURE(o, t) \
	(status[o] == COMMITTED && number[o] < number[t] && KIND(o) == KIND(t) && \
	 (fate[o] == WAITING || settled_at[o] > 0))
#define IS_NEWER(o, t) \
	(status[o] == COMMITTED && number[o] > number[t] && KIND(o) == KIND(t))

inline send(t)
{
	assert(status[t] == COMMITTED);
	assert(!OTHERS(NEWER_SEEN, t));		/* not even once more, after a crash */
	assert(!OTHERS(OLDER_UNSURE, t));
	seen[t] = true
}

/* A commit that doesn't wait for the disk; the delivery stays at the head of its object. */
inline settle(t, how)
{
	assert(fate[t] == WAITING);
	fate[t] = how;
	answered[t] = false;
	settled_at[t] = next_lsn;
	next_lsn++;
	settled[t] = true;
#ifdef BROKEN_COUNTS_UNFLUSHED
	finish_settled(t)
#endif
}

/* The outcome counts, and what is next of its object may go. */
inline finish_settled(t)
{
	settled[t] = false;
	refused[t] = false;
	tried[t] = false;
	known[t] = false
}

/* By the launcher, or by the worker when that takes too long. */
#define FLUSH(t) \
	:: d_step { settled[t] && settled_at[t] > 0 -> flush(settled_at[t]) } \
	:: d_step { settled[t] && settled_at[t] == 0 -> finish_settled(t) }

#ifdef BROKEN_HOLD_UNANSWERED
#define HOLDS(t)	(tried[t])
#else
#define HOLDS(t)	(refused[t])
#endif

/* Time is left out: a hold may be over at any moment. */
inline supersede(t)
{
	assert(refused[t]);
	assert(OTHERS(IS_NEWER, t));
	settle(t, SUPERSEDED)
}

#ifdef BROKEN_SETTLE_FIRST
#define DELIVER(t) \
	:: d_step { running && IS_HEAD(t) && fate[t] == WAITING -> \
				fate[t] = ACKNOWLEDGED } \
	:: d_step { running && known[t] && fate[t] == ACKNOWLEDGED -> \
				send(t); known[t] = false }
#else
#define DELIVER(t) \
	:: d_step { running && IS_HEAD(t) && !answered[t] && !settled[t] -> \
				send(t); refused[t] = false; answered[t] = true } \
	:: d_step { running && answered[t] -> settle(t, ACKNOWLEDGED) }
#endif

#define CAN_FAIL(t)	(running && IS_HEAD(t) && !answered[t] && !settled[t] && fate[t] == WAITING)

#define TURN(t) \
	DELIVER(t) \
	FLUSH(t) \
	:: d_step { CAN_FAIL(t) && refusals < REFUSALS -> \
				send(t); refusals++; tried[t] = true; refused[t] = true } \
	:: d_step { CAN_FAIL(t) && silences < SILENCES -> \
				send(t); silences++; tried[t] = true; refused[t] = false } \
	:: d_step { CAN_FAIL(t) && HOLDS(t) && OTHERS(IS_AFTER, t) -> supersede(t) }

proctype Worker()
{
end:
	do
	:: d_step { !running -> read_backlog() }
	:: d_step { running && wake -> look() }
	:: d_step { running && !wake && ENDED_UNSEEN -> look() }
	TURN(0)
	TURN(1)
	TURN(2)
#if TRANSACTIONS > 3
	TURN(3)
#endif
	od
}

/* A server that dies, and comes back; a worker that ends, and another that begins. */
proctype Fate()
{
end:
	do
	:: d_step { departures < DEPARTURES && running -> departures++; leave() }
	:: d_step { departures < DEPARTURES -> departures = DEPARTURES }
	:: d_step { crashes < CRASHES -> crashes++; crash() }
	:: d_step { crashes < CRASHES -> crashes = CRASHES }	/* it never does */
	od
}

/* When nothing can happen any more, everything has happened that has to. */
proctype Judge()
{
	timeout -> d_step {
		i = 0;
		do
		:: i < TRANSACTIONS ->
			assert(status[i] == COMMITTED || status[i] == ABORTED);
			assert(status[i] == COMMITTED || !seen[i]);
			assert(status[i] != COMMITTED || fate[i] == SUPERSEDED ||
				   (fate[i] == ACKNOWLEDGED && seen[i]));
			assert(settled_at[i] == 0);
			i++
		:: else -> break
		od;
		i = 0
	}
}

init
{
	atomic {
		run Writer(0);
		run Writer(1);
		run Writer(2);
#if TRANSACTIONS > 3
		run Writer(3);
#endif
		run Worker();
		run Fate();
		run Judge()
	}
}
