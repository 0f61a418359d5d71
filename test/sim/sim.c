/*-------------------------------------------------------------------------
 *
 * sim.c
 *	  Runs worlds from seeds, and makes the ones that fail smaller.
 *
 *	sim [--seed=N] [--count=N | --seconds=N]	that many worlds, from that seed on
 *	sim --kept=FILE								those that have failed once
 *	sim --seed=N [--rows=N ...] --replay		one, with all that happens in it
 *	sim ... --whole								what fails isn't made smaller
 *
 * Each world runs in a process of its own: the product keeps static state, and ends
 * at an assertion.  The same options bring the same run.  Speaks TAP.
 *
 * test/sim/sim.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <getopt.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schedule/invariants.h"
#include "worker/loop.h"

#include "sim.h"

/* Microseconds that a turn takes. */
#define TURN_TIME 50

/* Turns without anything done, after which a worker spins. */
#define IDLE_TURNS 2000

/* Seconds after which a world hangs, whatever its clock says. */
#define WORLD_SECONDS 240

/* After the world has healed, everything is settled within this. */
#define PATIENCE (5 * 24 * HOUR)

/* What a world's process tells. */
typedef struct SimReport
{
	SimCounts	counts;
	char		wrong[32];		/* "" when nothing was */
	char		detail[256];
} SimReport;

SimScenario sim_scenario;
bool		sim_verbose;

static SimReport *report;		/* shared with the world's process */

#define X(name, text) text,
static const char *const fault_names[] = {SIM_FAULTS(X)};
#undef X

/* The world is over: this is wrong with it. */
void
sim_wrong(const char *name, const char *format,...)
{
	va_list		args;

	strlcpy(report->wrong, name, sizeof(report->wrong));
	va_start(args, format);
	vsnprintf(report->detail, sizeof(report->detail), format, args);
	va_end(args);
	report->counts = sim_counts;
	fflush(stdout);
	_exit(1);
}

/* In place of the product's: counting all up costs more than a turn. */
extern void __real_kgw_invariants_check(KgwScheduler *s);
extern void __wrap_kgw_invariants_check(KgwScheduler *s);

void
__wrap_kgw_invariants_check(KgwScheduler *s)
{
	if (sim_counts.turns % (1 + sim_table_left() / 16) == 0)
		__real_kgw_invariants_check(s);
}

static KgwLoop *
begin_process(void)
{
	KgwLoop    *loop;

	sim_process_begin();
	loop = kgw_loop_new(0);
	if (!kgw_loop_start(loop))
		sim_wrong("gone", "the worker found nothing to work on");
	return loop;
}

static KgwLoop *
restart(void)
{
	static SimRandom source;

	if (sim_counts.restarts == 0)
		source = sim_stream("crashes");
	sim_wire_cut();

	/* its server, or only the worker, which flushes before it leaves (shmem/wal_flusher.c) */
	if (sim_chance(&source, 50))
		sim_durable_crash();
	else
		sim_durable_flush();
	sim_oracle_cut();
	sim_table_forget_reader();
	sim_memory_end();
	sim_counts.restarts++;
	sim_restart_wanted = false;
	return begin_process();
}

/* Whether something was done since the last call. */
static bool
has_progressed(void)
{
	static SimCounts before;
	bool		progressed = memcmp(&before.rows, &sim_counts.rows, offsetof(SimCounts, turns)) != 0;

	before = sim_counts;
	return progressed;
}

/* Everything from the first row to the last settlement. */
static void
run_world(void)
{
	KgwLoop    *loop;
	KgwTicks	healed_at = 0;
	int			idle = 0;

	sim_now = HOUR;
	sim_wall_offset = INT64CONST(9000) * 24 * HOUR;
	sim_world_make();
	sim_traffic_plan();
	loop = begin_process();
	for (;;)
	{
		KgwTicks	next;

		sim_traffic_run();
		if (sim_restart_wanted)
			loop = restart();
		if (!kgw_loop_turn(loop))
			sim_wrong("gone", "the worker left");
		sim_counts.turns++;
		sim_now += TURN_TIME;
		next = Min(kgw_loop_deadline(loop), Min(sim_wire_next(), sim_traffic_next()));
		idle = next > sim_now || has_progressed() ? 0 : idle + 1;
		if (idle > IDLE_TURNS)
			sim_wrong("spins", "at %.3f s", sim_now / 1e6);
		if (sim_traffic_over() && healed_at == 0)
			healed_at = sim_now;
		if (healed_at != 0 && (next > healed_at + PATIENCE ||
							   (sim_table_left() == 0 && !kgw_loop_busy(loop))))
			break;
		sim_now = Max(sim_now, next);
	}
	sim_oracle_end();
	report->counts = sim_counts;
}

/* Run the scenario in a process of its own; false when something is wrong. */
static bool
run_scenario(void)
{
	int			status;
	pid_t		child;

	memset(report, 0, sizeof(*report));
	fflush(stdout);
	child = fork();
	if (child == 0)
	{
		alarm(WORLD_SECONDS);
		run_world();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (status != 0 && report->wrong[0] == '\0')
		snprintf(report->wrong, sizeof(report->wrong), "ended by signal %d", WTERMSIG(status));
	return status == 0;
}

/*
 * Scenarios
 */

/* What a seed alone makes. */
static void
from_seed(uint64 seed)
{
	static const int spans[] = {5, 30, 240, 1440, 10080, 43200};
	static const int limits[] = {64, 64, 256, 256, 1000};
	SimRandom	r;

	sim_scenario.seed = seed;
	r = sim_stream("scenario");
	sim_scenario.destinations = sim_chance(&r, 5) ? 1000 + sim_below(&r, 3000) : 1 + sim_below(&r, 40);
	sim_scenario.endpoints = 1 + sim_below(&r, 6);
	sim_scenario.objects = 100 + sim_below(&r, 900) + sim_scenario.destinations * sim_scenario.endpoints;
	sim_scenario.rows = 2000 + sim_below(&r, 6000);
	sim_scenario.minutes = spans[sim_below(&r, lengthof(spans))];
	sim_scenario.in_flight = limits[sim_below(&r, lengthof(limits))];
	sim_scenario.faults = sim_random(&r) & sim_random(&r) & ((1u << SIM_FAULT_COUNT) - 1);
	if (sim_chance(&r, 50))
		sim_scenario.faults |= sim_random(&r) & ((1u << SIM_FAULT_COUNT) - 1);
}

static void
print_scenario(const SimScenario *s)
{
	const char *comma = "";

	printf("--seed=%llu --destinations=%d --endpoints=%d --objects=%d --rows=%d --minutes=%d "
		   "--in-flight=%d --faults=", (unsigned long long) s->seed, s->destinations, s->endpoints,
		   s->objects, s->rows, s->minutes, s->in_flight);
	for (int i = 0; i < SIM_FAULT_COUNT; i++)
	{
		if ((s->faults & (1u << i)) == 0)
			continue;
		printf("%s%s", comma, fault_names[i]);
		comma = ",";
	}
	printf("\n");
}

/* Whether a smaller scenario fails in the same way; it is kept then. */
static bool
still_fails(const SimScenario *smaller, const char *wrong)
{
	SimScenario before = sim_scenario;

	sim_scenario = *smaller;
	if (!run_scenario() && strcmp(report->wrong, wrong) == 0)
		return true;
	sim_scenario = before;
	return false;
}

/* Take away faults, and halve numbers, for as long as it fails in the same way. */
static void
shrink(void)
{
	char		wrong[32];
	bool		smaller = true;

	strlcpy(wrong, report->wrong, sizeof(wrong));
	while (smaller)
	{
		int		   *numbers[] = {&sim_scenario.rows, &sim_scenario.destinations,
			&sim_scenario.endpoints, &sim_scenario.objects, &sim_scenario.minutes
		};

		smaller = false;
		for (int i = 0; i < SIM_FAULT_COUNT; i++)
		{
			SimScenario less = sim_scenario;

			less.faults &= ~(1u << i);
			smaller |= less.faults != sim_scenario.faults && still_fails(&less, wrong);
		}
		for (int i = 0; i < (int) lengthof(numbers); i++)
		{
			SimScenario less = sim_scenario;
			int		   *number = (int *) ((char *) &less + ((char *) numbers[i] - (char *) &sim_scenario));

			*number = (*number + 1) / 2;
			smaller |= *number < *numbers[i] && still_fails(&less, wrong);
		}
	}
	(void) still_fails(&sim_scenario, wrong);
}

static const struct option options[] = {
	{"seed", required_argument, NULL, 's'},
	{"destinations", required_argument, NULL, 'd'},
	{"endpoints", required_argument, NULL, 'e'},
	{"objects", required_argument, NULL, 'o'},
	{"rows", required_argument, NULL, 'r'},
	{"minutes", required_argument, NULL, 'm'},
	{"in-flight", required_argument, NULL, 'i'},
	{"faults", required_argument, NULL, 'f'},
	{"count", required_argument, NULL, 'c'},
	{"seconds", required_argument, NULL, 't'},
	{"kept", required_argument, NULL, 'k'},
	{"replay", no_argument, NULL, 'v'},
	{"whole", no_argument, NULL, 'w'},
	{NULL, 0, NULL, 0}
};

/* What runs, besides the scenario. */
typedef struct SimPlan
{
	int			count;
	double		seconds;		/* 0 = by count */
	const char *kept;
	bool		whole;			/* what fails isn't made smaller */
} SimPlan;

static unsigned
parse_faults(char *text)
{
	unsigned	faults = 0;

	for (char *name = strtok(text, ","); name != NULL; name = strtok(NULL, ","))
	{
		int			i = 0;

		while (i < SIM_FAULT_COUNT && strcmp(name, fault_names[i]) != 0)
			i++;
		if (i == SIM_FAULT_COUNT)
		{
			fprintf(stderr, "there is no fault \"%s\"\n", name);
			exit(2);
		}
		faults |= 1u << i;
	}
	return faults;
}

/* A seed first: what is given besides takes the place of what it makes. */
static void
parse(int argc, char **argv, SimPlan *plan)
{
	int			which;

	optind = 1;
	while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (which)
		{
			case 's': from_seed(strtoull(optarg, NULL, 10)); break;
			case 'd': sim_scenario.destinations = atoi(optarg); break;
			case 'e': sim_scenario.endpoints = atoi(optarg); break;
			case 'o': sim_scenario.objects = atoi(optarg); break;
			case 'r': sim_scenario.rows = atoi(optarg); break;
			case 'm': sim_scenario.minutes = atoi(optarg); break;
			case 'i': sim_scenario.in_flight = atoi(optarg); break;
			case 'f': sim_scenario.faults = parse_faults(optarg); break;
			case 'c': plan->count = atoi(optarg); break;
			case 't': plan->seconds = atof(optarg); break;
			case 'k': plan->kept = optarg; break;
			case 'v': sim_verbose = plan->whole = true; break;
			case 'w': plan->whole = true; break;
			default: exit(2);
		}
	}
}

/* Run one; a test of its own only when it fails, or is the only one. */
static bool
run_and_tell(bool may_shrink)
{
	SimScenario whole = sim_scenario;

	if (run_scenario())
		return true;
	printf("# WRONG: %s\n# %s\n# ", report->wrong, report->detail);
	print_scenario(&whole);
	if (may_shrink)
	{
		shrink();
		printf("# shrunk: %s\n# ", report->detail);
		print_scenario(&sim_scenario);
	}
	return false;
}

/* Each line of the file is a scenario; what follows "#" says what it found. */
static int
run_kept(const char *path)
{
	char		line[1024];
	FILE	   *file = fopen(path, "r");
	int			failed = 0;
	int			tests = 0;

	if (file == NULL)
	{
		perror(path);
		exit(2);
	}
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char	   *words[32] = {"sim"};
		int			count = 1;
		char	   *comment = strchr(line, '#');
		SimPlan		unused = {0};
		bool		fine;

		if (comment != NULL)
			*comment++ = '\0';
		for (char *word = strtok(line, " \n"); word != NULL && count < 32; word = strtok(NULL, " \n"))
			words[count++] = word;
		if (count == 1)
			continue;
		parse(count, words, &unused);
		fine = run_and_tell(false);
		failed += !fine;
		printf("%sok %d - kept:%s", fine ? "" : "not ", ++tests, comment != NULL ? comment : "\n");
	}
	fclose(file);
	printf("1..%d\n", tests);
	return failed;
}

/* Worlds from this seed on, until one fails or there were enough. */
static bool
run_seeds(const SimPlan *plan, SimCounts *all, int *worlds)
{
	double		began = sim_real_seconds();
	uint64		seed = sim_scenario.seed;

	for (*worlds = 0; plan->seconds > 0 ? sim_real_seconds() - began < plan->seconds :
		 *worlds < plan->count; (*worlds)++)
	{
		if (*worlds > 0)
			from_seed(seed + *worlds);
		if (!run_and_tell(!plan->whole))
			return false;
		all->rows += report->counts.rows;
		all->requests += report->counts.requests;
		all->turns += report->counts.turns;
		all->superseded += report->counts.superseded;
		all->dead += report->counts.dead;
		all->restarts += report->counts.restarts;
		all->latest = Max(all->latest, report->counts.latest);
	}
	return true;
}

int
main(int argc, char **argv)
{
	SimPlan		plan = {.count = 1};
	SimCounts	all = {0};
	int			worlds;
	double		began = sim_real_seconds();
	double		rate;
	bool		fine;

	report = mmap(NULL, sizeof(SimReport), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	from_seed(1);
	parse(argc, argv, &plan);
	if (plan.kept != NULL)
		return run_kept(plan.kept) == 0 ? 0 : 1;
	fine = run_seeds(&plan, &all, &worlds);
	rate = all.requests / (sim_real_seconds() - began) * 60;
	printf("%sok 1 - %d worlds: %ld deliveries, %ld requests, %ld superseded, %ld given up, "
		   "%ld restarts; the latest to a good endpoint after %.3f s\n", fine ? "" : "not ", worlds,
		   (long) all.rows, (long) all.requests, (long) all.superseded, (long) all.dead,
		   (long) all.restarts, all.latest / 1e6);
	if (!sim_verbose)
		printf("# %.0f requests a minute, %ld turns\n", rate, (long) all.turns);
	printf("1..1\n");
	return fine ? 0 : 1;
}
