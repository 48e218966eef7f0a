/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fatectl: one row a verb. --json, --socket and --help may stand anywhere, so they are taken out first; what is left
 * are the verb's words and its own arguments.
 */
#include <string.h>

#include "ctl/ctl.h"
#include "fate_abi.h"

const struct ctl_verb ctl_verbs[] = {
	{ "status", "[--watch[=SECONDS]]", "what the daemon does at this moment",
	  "Its \"law\" are the books: both sides of each line are counted apart, and the exit status is 6 when they differ.\n\n"
	  "  fatectl status --watch=1\n  fatectl status\n  fatectl status --json | jq .engine.queued\n", ctl_status },
	{ "health", "", "does the daemon take events? 0 or 1 as the exit status, for probes",
	  "Says ok, or \"in doubt\" (its store fails) or \"draining\" (it is stopping) with the reason. The store is not asked.\n\n"
	  "  fatectl health >/dev/null || echo \"fated takes no events\" | mail root\n", ctl_health },
	{ "function list", "[--watch[=SECONDS]]", "the functions in force", "  fatectl function list\n", ctl_function_list },
	{ "function show", "NAME", "one function's definition, as lines \"member  value\"", "  fatectl function show resize\n",
	  ctl_function_show },
	{ "function publish", "NAME [--description TEXT]", "keep the definition in force as a version, for good",
	  "Prints the version's number; the newest one's when nothing has changed since. NAME:NUMBER invokes it, whatever becomes\n"
	  "of the definition's file (without one no version runs).\n\n"
	  "  fatectl function publish resize --description 'before the new codec'\n", ctl_function_publish },
	{ "function versions", "NAME", "a function's versions, $LATEST first", "  fatectl function versions resize\n",
	  ctl_function_versions },
	{ "alias list", "NAME", "a function's aliases and the versions they stand for", "  fatectl alias list resize\n",
	  ctl_alias_list },
	{ "alias get", "NAME ALIAS", "one alias, as lines \"member  value\"", "  fatectl alias get resize prod\n", ctl_alias_get },
	{ "alias set", "NAME ALIAS --version N [--also M=0.1] [--description TEXT]",
		"make an alias, or let it stand for another version",
	  "NAME:ALIAS invokes version N; with --also a share of the events (0.0 to 1.0) goes to version M. Without --also all go\n"
	  "to N again. A description that is not given stays.\n\n"
	  "  fatectl alias set resize prod --version 4\n"
	  "  fatectl alias set resize prod --version 4 --also 5=0.1\n", ctl_alias_set },
	{ "alias delete", "NAME ALIAS", "delete an alias; none of that name is fine", "  fatectl alias delete resize prod\n",
	  ctl_alias_delete },
	{ "invoke", "NAME [--async] [--wait] [--payload FILE|-] [--data JSON]", "run a function",
	  "Without --async the answer's bytes go to stdout; when the function failed, one line on stderr says how, and\n"
	  "the exit status is 1. With --json the answer comes in an object with requestId, statusCode, functionError,\n"
	  "outcome and payload. With --async the request id is printed once the event is durable; with --wait, the\n"
	  "event's record when it has ended (exit status 1 when it failed for good).\n"
	  "The event is {} unless --payload or --data says otherwise; stdin is read for \"--payload -\" only.\n\n"
	  "  fatectl invoke resize --data '{\"image\": \"cat.png\"}'\n"
	  "  fatectl invoke resize --async --wait --payload event.json\n", ctl_invoke },
	{ "event list", "[--function NAME] [--state STATE] [--limit N] [--before SEQ] [--watch[=SECONDS]]",
	  "asynchronous events, newest first",
	  "STATE: queued, running, waiting, routing, done.\n\n  fatectl event list --state waiting\n", ctl_event_list },
	{ "event show", "ID", "one event: payload, attempts and their fate, record, deliveries",
	  "  fatectl event show 5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a\n", ctl_event_show },
	{ "event cancel", "ID [--wait]", "end an event: a waiting one at once, a running one with its whole process tree",
	  "Its record says Cancelled and goes where failures of the function go. With --wait the record is printed when it is\n"
	  "there; the exit status is 1 when the event had come to another end first.\n\n"
	  "  fatectl event cancel 5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a --wait\n", ctl_event_cancel },
	{ "event retry", "ID [--wait] [--force] [--timeout SECONDS] [--memory MB] [--qualifier Q]", "try an event again now",
	  "One that waits for its next attempt is due at once. One that has ended is accepted again, as a new event with the\n"
	  "same payload; one that ended with success only with --force. The new event may have another timeout, memory and "
	  "version\n"
	  "(or alias) than the definition says. The id to look at from now on is printed; with --wait, the record instead (exit\n"
	  "status 1 when it failed for good).\n\n"
	  "  fatectl event retry 5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a --timeout 60\n", ctl_event_retry },
	{ "event redrive", "[--function NAME] [--verdict VERDICT] [--condition CONDITION] [--since TIME] [--until TIME] [--max N] "
	  "[--rate N] [--dry-run] [--again] [--timeout SECONDS] [--memory MB] [--qualifier Q] [--after SEQ] [--up-to SEQ]",
	  "send ended events again: all that match",
	  "Those that did not end with success, unless --condition says which. At most N (100), oldest first, --rate a second "
	  "(50),\n"
	  "each once, to the newest event there is when it begins. TIME is of their ends: 2026-11-24T10:00:00Z, or how long ago:\n"
	  "90s, 15m, 2h, 3d. VERDICT is the last attempt's. --dry-run lists what would be sent.\n"
	  "What was sent again before, by whomever, is passed over, unless --again is given. Whatever\n"
	  "ends a pass early (an interrupt, a full queue, the daemon's end), what it says then goes on with it: --after SEQ "
	  "--up-to\n"
	  "SEQ. What could not be sent is told with the reason (exit status 4). With --json a line for about each second.\n"
	  "CONDITION: Success, RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency, Cancelled, RecursiveInvocation, "
	  "Poison.\n"
	  "VERDICT: Success, Error, Timeout, OutOfMemory, Signal, Crash, ResponseTooLarge, ExecFailed, NoFunction, Interrupted, "
	  "HostFault, Cancelled.\n"
	  "\n  fatectl event redrive --function resize --verdict OutOfMemory --since 2h --memory 512 --dry-run\n"
	  "  fatectl event redrive --function resize --condition Poison --max 1000 --rate 20\n", ctl_event_redrive },
	{ "record list", "[--function NAME] [--condition CONDITION] [--limit N] [--before SEQ] [--watch[=SECONDS]]",
	  "records of ended events, newest first",
	  "CONDITION: Success, RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency, Cancelled,"
	  " RecursiveInvocation, Poison.\n\n"
	  "  fatectl record list --condition RetriesExhausted\n", ctl_record_list },
	{ "record show", "ID", "one event's record, as destinations receive it",
	  "  fatectl record show 5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a\n", ctl_record_show },
	{ "record tail", "[--function NAME] [--condition CONDITION] [-n N]", "records as events end, one line each",
	  "The last N (10) first, then each new one, in the order of the events' ends, until it is interrupted: time, function,\n"
	  "request id, condition, verdict of the last attempt. With --json each line is a whole record. A restart of the daemon\n"
	  "is waited for, and nothing is missed or repeated.\n"
	  "CONDITION: Success, RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency, Cancelled,"
	  " RecursiveInvocation, Poison.\n\n"
	  "  fatectl record tail --condition RetriesExhausted\n"
	  "  fatectl record tail -n 0 --json | jq -r .fate.attempts[-1].verdict\n", ctl_record_tail },
	{ "queue list", "[--watch[=SECONDS]]", "local queues", "  fatectl queue list\n", ctl_queue_list },
	{ "queue receive", "NAME [--max N] [--visibility SECONDS] [--delete]", "take messages from a local queue",
	  "A received message is hidden for SECONDS (30) and then comes back, unless --delete takes it for good.\n\n"
	  "  fatectl queue receive done --max 10 --delete\n", ctl_queue_receive },
	{ "queue peek", "NAME [--max N]", "look at the oldest messages of a local queue and leave them there",
	  "Shows N (10) of them, leased ones, too; none is leased by looking.\n\n  fatectl queue peek dead\n", ctl_queue_peek },
	{ "queue purge", "NAME [--yes]", "delete every message of a local queue for good",
	  "Leased ones, too. Asks at a terminal; anywhere else --yes is needed.\n\n  fatectl queue purge done --yes\n",
	  ctl_queue_purge },
	{ "queue redrive", "NAME [--to FUNCTION] [--max N] [--function FUNCTION] [--verdict VERDICT] [--since TIME] [--until TIME] "
	  "[--rate N] [--dry-run] [--timeout SECONDS] [--memory MB] [--qualifier Q] [--after POS] [--up-to POS]",
	  "make events of a local queue's messages again",
	  "A record goes back to the function it is about with the request's payload, a dead letter to the function whose event\n"
	  "it was; with --to everything goes to FUNCTION. The event is accepted and the message gone in one transaction. At most\n"
	  "N (100), oldest first; with --function and --verdict those of that function and verdict, as record or stored event "
	  "say;\n"
	  "--since and --until are about when they were sent (2026-11-24T10:00:00Z, or 2h ago). --rate is a second's worth; "
	  "without\n"
	  "it they go as fast as they can. What stays is told with the reason (exit status 4); it, and what was passed over, is\n"
	  "visible again at once. --dry-run lists what would be sent. Whatever ends it early (an interrupt, the daemon's end),\n"
	  "what it says then goes on with it: --after POS --up-to POS.\n"
	  "VERDICT: Success, Error, Timeout, OutOfMemory, Signal, Crash, ResponseTooLarge, ExecFailed, NoFunction, Interrupted, "
	  "HostFault, Cancelled.\n"
	  "\n  fatectl queue redrive dead --dry-run\n"
	  "  fatectl queue redrive dead --to repair --max 10\n"
	  "  fatectl queue redrive dead --function resize --verdict Timeout --timeout 60 --rate 5\n", ctl_queue_redrive },
	{ "topic list", "[--watch[=SECONDS]]", "local topics and how many subscriptions they have",
	  "  fatectl topic list\n", ctl_topic_list },
	{ "topic show", "TOPIC", "one topic: its subscriptions and where they lead", "  fatectl topic show alerts\n",
	  ctl_topic_show },
	{ "bus list", "[--watch[=SECONDS]]", "local event buses and how many rules they have", "  fatectl bus list\n",
	  ctl_bus_list },
	{ "bus show", "BUS", "one event bus: its rules, their patterns and targets", "  fatectl bus show default\n", ctl_bus_show },
	{ "delivery list", "[--failed] [--target TARGET] [--limit N] [--after POS] [--watch[=SECONDS]]",
	  "deliveries that no target has taken yet",
	  "With --failed those that are not tried again by themselves: the target would not have them, or six hours have passed.\n"
	  "TARGET is meant as it stands in the definition.\n\n  fatectl delivery list --failed\n", ctl_delivery_list },
	{ "delivery show", "ID", "an event's deliveries, with what is sent",
	  "  fatectl delivery show 5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a\n", ctl_delivery_show },
	{ "delivery retry", "ID [ROLE] | --all [--target TARGET] [--max N] [--rate N] [--after POS]",
	  "send an event's record again now, or all that failed",
	  "Without ROLE all of the event's that are open. With --all those that failed, to one target or to any, --rate a second\n"
	  "(50); their tries are counted anew.\n"
	  "ROLE: OnSuccess, OnFailure, DeadLetter.\n\n"
	  "  fatectl delivery retry 5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a\n"
	  "  fatectl delivery retry --all --target file:/var/log/failed.jsonl\n", ctl_delivery_retry },
	{ "delivery drop", "ID ROLE", "give a delivery up: its event has ended then",
	  "The record stays (record show), the target does not get it.\n"
	  "ROLE: OnSuccess, OnFailure, DeadLetter.\n\n"
	  "  fatectl delivery drop 5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a OnFailure\n", ctl_delivery_drop },
	{ "logs", "NAME [--bytes N] [-f|--follow]", "the end of a function's log",
	  "With --follow it goes on with what the function writes, until it is interrupted; over rotations and over a\n"
	  "restart of the daemon, too.\n\n  fatectl logs resize --bytes 4096\n  fatectl logs -f resize\n", ctl_logs },
	{ "top", "[--interval SECONDS] [--once]", "what runs at this moment, and what it uses",
	  "Again and again (every 2 s) until an interrupt or q; the keys c, m and a sort by CPU, memory and age. CPU% is of the\n"
	  "last interval, of an environment that was not there before, of its life. On a pipe, and with --once, one table: at\n"
	  "once, or with --interval after measuring for so long. What only eBPF knows is a dash in fallback mode. The exit\n"
	  "status is 6 when the books do not balance.\n\n"
	  "  fatectl top\n  fatectl top --once --interval 1\n", ctl_top },
	{ "reload", "", "read the definitions again",
	  "Prints what was added, changed and removed, and everything that is wrong, with file, path and reason; the exit\n"
	  "status is 4 when there is anything wrong. A bad file never takes a good function down.\n\n  fatectl reload\n",
	  ctl_reload },
	{ "version", "", "versions of fatectl and of the daemon", "  fatectl version\n", ctl_version },
	{ "doctor", "", "checks this host and the daemon, and says what to do",
	  "A line a finding: ok, warn (works, but not as well as it could, or could not be looked at), FAIL (does not work);\n"
	  "what to do stands below. The daemon need not run. As root it sees everything. The exit status is 5 when\n"
	  "anything FAILs. With --json an array of {check, status, found, remedy}.\n\n"
	  "  fatectl doctor\n  fatectl doctor --json | jq '.[] | select(.status != \"ok\")'\n", ctl_doctor },
	{ "completion", "bash|zsh", "a completion script for a shell",
	  "make install puts it where the shells look; without that, in the shell itself:\n\n"
	  "  . <(fatectl completion bash)\n"
	  "  fatectl completion bash >/etc/bash_completion.d/fatectl\n"
	  "  fatectl completion zsh >\"${fpath[1]}/_fatectl\"\n", ctl_completion },
	{ "help", "[VERB]", "this, or more about one verb", "  fatectl help queue receive\n", ctl_help },
	{}
};

/* How many words of argv are the row's name: 0 = not this one. */
static int verb_words(const struct ctl_verb *v, int argc, char **argv)
{
	const char *rest = v->name;
	int n = 0;

	while (*rest) {
		size_t len = strcspn(rest, " ");

		if (n == argc || strlen(argv[n]) != len || strncmp(argv[n], rest, len) != 0)
			return 0;
		n++;
		rest += len + (rest[len] == ' ');
	}
	return n;
}

static int unknown_verb(int argc, char **argv)
{
	bool group = false;

	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		group |= strncmp(v->name, argv[0], strlen(argv[0])) == 0 && v->name[strlen(argv[0])] == ' ';
	if (group && argc > 1)
		fprintf(stderr, "fatectl: unknown verb '%s %s'; see fatectl help\n", argv[0], argv[1]);
	else if (group)
		fprintf(stderr, "fatectl: '%s' what? see fatectl help\n", argv[0]);
	else
		fprintf(stderr, "fatectl: unknown verb '%s'; see fatectl help\n", argv[0]);
	return CTL_USAGE;
}

/* Takes the options of all verbs out of argv. Returns the new argc, or -1 after a message. */
static int global_options(struct ctl *c, int argc, char **argv, bool *ret_help)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			while (i < argc)
				argv[n++] = argv[i++];
		} else if (strcmp(argv[i], "--json") == 0) {
			c->json = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*ret_help = true;
		} else if (strncmp(argv[i], "--socket=", 9) == 0) {
			c->socket = argv[i] + 9;
		} else if (strcmp(argv[i], "--socket") == 0) {
			if (i + 1 == argc) {
				fprintf(stderr, "fatectl: --socket needs a path\n");
				return -1;
			}
			c->socket = argv[++i];
		} else {
			argv[n++] = argv[i];
			/* The next one may be an option's value and look like one of ours: --data --json. */
			if (strcmp(argv[i], "--data") == 0 && i + 1 < argc)
				argv[n++] = argv[++i];
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	const char *env = getenv("FATED_SOCKET");
	struct ctl c = { .socket = env && *env ? env : FATE_DEFAULT_RUN_DIR "/" FATE_SOCKET_NAME };
	int r = CTL_USAGE, words = 0;
	bool help = false;

	argc = global_options(&c, argc - 1, argv + 1, &help);
	argv++;
	if (argc < 0)
		return CTL_USAGE;
	if (help)
		return ctl_help(&c, argc, argv);
	if (argc == 0) {
		(void)ctl_help(&c, -1, argv);
		return CTL_USAGE;
	}
	for (c.verb = ctl_verbs; c.verb->name && !words; c.verb++)
		words = verb_words(c.verb, argc, argv);
	if (!words)
		return unknown_verb(argc, argv);
	c.verb--;
	argc -= words;
	argv += words;
	r = ctl_may_watch(c.verb) ? ctl_watch(&c, argc, argv) : c.verb->run(&c, argc, argv);
	http_caller_free(c.http);
	if (r == CTL_OK && (fflush(stdout) != 0 || ferror(stdout))) {
		perror("fatectl: stdout");
		r = CTL_USAGE;
	}
	return r;
}
