/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGTERM is the same for `systemctl restart` and `systemctl stop`. The difference is in systemd's books: a unit's Job is
 * of type "restart" until the old process is gone, and "stop" when the unit, or the host, goes down for good. No job at
 * all: somebody sent the signal by hand.
 *
 *   GetUnitByInvocationID → Job of the unit → JobType of the job
 *
 * Three questions and not one GetAll: only the last two depend on each other, but none is larger than a packet, and a
 * stop is not in a hurry of milliseconds. By invocation and not by pid: for a pid systemd looks at its cgroup, and we may
 * have moved out of the unit's (launch/launch_probe.c).
 *
 * Over systemd's own socket, as systemctl does it for root: a host without dbus-daemon can restart its units, too, and one
 * that goes down stops the bus early. Where that socket is not there, the system bus is asked.
 *
 * Whatever goes wrong means a stop for good: that costs a function its run, while the opposite mistake would leave
 * processes behind that nobody watches.
 */
#include "daemon/unit_job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#include "base/mem.h"

#define PRIVATE_BUS "unix:path=/run/systemd/private"
#define SYSTEMD "org.freedesktop.systemd1"
#define INVOCATION_BYTES 16

struct unit_job {
	sd_bus *bus;
	sd_bus_slot *call;		/* the question under way */
	sd_event_source *timer;
	void (*answer)(void *arg, bool restart, const char *why);
	void *arg;
};

bool unit_job_possible(void)
{
	const char *pid = getenv("SYSTEMD_EXEC_PID");

	/* A shell's or a test's child has its parent's environment. Before systemd 248 the pid is not told. */
	return getenv("INVOCATION_ID") && getenv("NOTIFY_SOCKET") && (!pid || atol(pid) == (long)getpid());
}

/* j may be gone after it. */
static void tell(struct unit_job *j, bool restart, const char *why)
{
	(void)sd_event_source_set_enabled(j->timer, SD_EVENT_OFF);
	j->call = sd_bus_slot_unref(j->call);
	j->answer(j->arg, restart, why);
}

static void tell_failure(struct unit_job *j, const char *what, int r)
{
	char why[160];

	snprintf(why, sizeof(why), "systemd was asked whether it restarts the unit: %s: %s", what, strerror(-r));
	tell(j, false, why);
}

/* True when m holds an answer; else the failure is told. */
static bool answered(struct unit_job *j, sd_bus_message *m, const char *what)
{
	const sd_bus_error *error = sd_bus_message_get_error(m);
	char why[256];

	if (!error)
		return true;
	snprintf(why, sizeof(why), "systemd was asked whether it restarts the unit: %s: %.120s", what,
		 error->message ? error->message : error->name);
	tell(j, false, why);
	return false;
}

static int get(struct unit_job *j, const char *path, const char *interface, const char *property, sd_bus_message_handler_t on)
{
	j->call = sd_bus_slot_unref(j->call);
	return sd_bus_call_method_async(j->bus, &j->call, SYSTEMD, path, "org.freedesktop.DBus.Properties", "Get", on, j, "ss",
					interface, property);
}

static int on_type(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct unit_job *j = arg;
	const char *type;
	char why[100];
	int r;

	if (!answered(j, m, "JobType"))
		return 0;
	r = sd_bus_message_read(m, "v", "s", &type);
	if (r < 0) {
		tell_failure(j, "JobType", r);
		return 0;
	}
	snprintf(why, sizeof(why), "systemd's job for the unit is \"%.40s\"", type);
	tell(j, strcmp(type, "restart") == 0 || strcmp(type, "try-restart") == 0, why);
	return 0;
}

static int on_job(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct unit_job *j = arg;
	const char *path;
	uint32_t id;
	int r;

	if (!answered(j, m, "Job"))
		return 0;
	r = sd_bus_message_read(m, "v", "(uo)", &id, &path);
	if (r >= 0 && id == 0) {
		tell(j, false, "systemd has no job for the unit: the signal was sent by hand");
		return 0;
	}
	if (r >= 0)
		r = get(j, path, SYSTEMD ".Job", "JobType", on_type);
	if (r < 0)
		tell_failure(j, "Job", r);
	return 0;
}

static int on_unit(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct unit_job *j = arg;
	const char *path;
	int r;

	if (!answered(j, m, "unit"))
		return 0;
	r = sd_bus_message_read(m, "o", &path);
	if (r >= 0)
		r = get(j, path, SYSTEMD ".Unit", "Job", on_job);
	if (r < 0)
		tell_failure(j, "unit", r);
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	char why[100];

	snprintf(why, sizeof(why), "systemd was asked whether it restarts the unit: no answer within %d ms", UNIT_JOB_WAIT_MS);
	tell(arg, false, why);
	return 0;
}

static int connect_to(const char *address, sd_bus **ret)
{
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_unref(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

/* "0123456789abcdef0123456789abcdef" */
static int read_id(const char *text, uint8_t ret[INVOCATION_BYTES])
{
	if (!text || strlen(text) != 2 * INVOCATION_BYTES || strspn(text, "0123456789abcdefABCDEF") != 2 * INVOCATION_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < INVOCATION_BYTES; i++) {
		char pair[3] = { text[2 * i], text[2 * i + 1] };

		ret[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return 0;
}

static int ask(struct unit_job *j, const uint8_t *id)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(j->bus, &m, SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager",
					       "GetUnitByInvocationID");

	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', id, INVOCATION_BYTES);
	if (r >= 0)
		r = sd_bus_call_async(j->bus, &j->call, m, on_unit, j, 0);
	sd_bus_message_unref(m);
	return r;
}

int unit_job_ask_at(sd_event *loop, const char *address, const char *invocation_id,
		    void (*answer)(void *arg, bool restart, const char *why), void *arg, struct unit_job **ret)
{
	struct unit_job *j;
	uint8_t id[INVOCATION_BYTES];
	int r = read_id(invocation_id, id);

	if (r < 0)
		return r;
	j = XNEW(struct unit_job);
	*j = (struct unit_job){ .answer = answer, .arg = arg };
	r = address ? connect_to(address, &j->bus) : connect_to(PRIVATE_BUS, &j->bus);
	if (r < 0 && !address)
		r = sd_bus_open_system(&j->bus);
	if (r >= 0)
		r = sd_bus_attach_event(j->bus, loop, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &j->timer, CLOCK_MONOTONIC, UNIT_JOB_WAIT_MS * 1000, 1000, on_timer, j);
	if (r >= 0)
		r = ask(j, id);
	if (r < 0) {
		unit_job_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

int unit_job_ask(sd_event *loop, void (*answer)(void *arg, bool restart, const char *why), void *arg, struct unit_job **ret)
{
	return unit_job_ask_at(loop, NULL, getenv("INVOCATION_ID"), answer, arg, ret);
}

struct unit_job *unit_job_free(struct unit_job *j)
{
	if (!j)
		return NULL;
	sd_bus_slot_unref(j->call);
	sd_event_source_disable_unref(j->timer);
	sd_bus_close_unref(j->bus);
	free(j);
	return NULL;
}
