/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/ctl.h"
#include "fate_abi.h"

static void print_all(FILE *to)
{
	fprintf(to, "fatectl: talks to fated, the function supervisor, over its unix socket\n\n");
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		fprintf(to, "  %-18s %s\n", v->name, v->summary);
	fprintf(to, "\nWith every verb:\n"
		"  --json           the daemon's JSON instead of text for people\n"
		"  --socket PATH    the daemon's socket (else $FATED_SOCKET, else " FATE_DEFAULT_RUN_DIR "/" FATE_SOCKET_NAME ")\n"
		"  --help           the same as help VERB\n\n"
		"With those that list something, and status:\n"
		"  --watch[=SECONDS]  again and again (every 2 s), until an interrupt or q; the exit status is the last round's\n\n"
		"Exit status:\n"
		"  0  done\n"
		"  1  the function failed (invoke), or the daemon takes no events (health)\n"
		"  2  fatectl was called wrongly\n"
		"  3  the daemon cannot be reached\n"
		"  4  the daemon refused: not found, bad input, throttled, not allowed\n"
		"  5  the daemon failed, or doctor found something that does not work\n"
		"  6  the books do not balance: events or processes are out of sight (status, top)\n");
}

static void print_verb(const struct ctl_verb *v)
{
	printf("fatectl %s%s%s\n  %s\n\n%s", v->name, *v->args ? " " : "", v->args, v->summary, v->details);
}

/* argc -1: called without anything, so the same goes to stderr. */
int ctl_help(struct ctl *c, int argc, char **argv)
{
	CLEAN(buf_done) struct buf name = {};
	bool found = false;

	if (argc <= 0) {
		print_all(argc < 0 ? stderr : stdout);
		return CTL_OK;
	}
	for (int i = 0; i < argc && i < 2; i++)
		buf_addf(&name, "%s%s", i ? " " : "", argv[i]);
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		size_t len = strlen(v->name), given = name.len;
		/* "help event" shows all of event's; "event list --help" and "invoke NAME --help" have words after the verb */
		bool group = strncmp(v->name, argv[0], strlen(argv[0])) == 0 && v->name[strlen(argv[0])] == ' ' && argc == 1;
		bool one = strncmp(v->name, buf_str(&name), len) == 0 && (given == len || name.data[len] == ' ');

		if (!group && !one)
			continue;
		if (found)
			putchar('\n');
		print_verb(v);
		found = true;
	}
	if (found)
		return CTL_OK;
	fprintf(stderr, "fatectl: no verb '%s'; see fatectl help\n", buf_str(&name));
	return CTL_USAGE;
}
