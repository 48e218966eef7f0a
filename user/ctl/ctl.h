/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What fatectl's verbs share. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/http_call.h"

/* Exit status; part of the interface, see ctl_help.c. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FUNCTION_FAILED = 1,
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3,
	CTL_REFUSED = 4,
	CTL_DAEMON_FAILED = 5,
	CTL_DRIFT = 6,			/* the law of conservation does not hold */
};

struct ctl {
	const char *socket;
	bool json;
	bool patient;			/* CTL_UNREACHABLE is not printed: somebody waits for the daemon to come back */
	struct http_caller *http;	/* made by the first call */
	const struct ctl_verb *verb;	/* that is running, for usage messages */
};

struct ctl_verb {
	const char *name;		/* "event list" */
	const char *args;		/* "ID", ""; with "[--watch[=SECONDS]]" in it main takes that out and repeats the verb */
	const char *summary;		/* one line */
	const char *details;		/* more lines for `help VERB`, with an example; ends in a line break */
	int (*run)(struct ctl *c, int argc, char **argv);	/* without the verb's own words; returns enum ctl_exit */
};
extern const struct ctl_verb ctl_verbs[];	/* ends with a row without name; main.c */

/* ---- arguments (ctl_args.c) */
struct ctl_option {
	const char *name;		/* "--limit" */
	const char **value;		/* takes one when not NULL … */
	bool *flag;			/* … else this is set */
};
/* Takes options (--name VALUE, --name=VALUE) out; exactly n_words words must be left, into words. False: usage was printed. */
bool ctl_args(struct ctl *c, int argc, char **argv, const struct ctl_option *opts, size_t n_opts, const char **words, int n_words);
/* The same with n_least to n_words words; *ret_n is how many there were. */
bool ctl_args_some(struct ctl *c, int argc, char **argv, const struct ctl_option *opts, size_t n_opts, const char **words,
		   int n_least, int n_words, int *ret_n);
/* An option's value as a number; *ret is left alone when text is NULL. False: usage was printed. */
bool ctl_number_arg(const struct ctl *c, const char *name, const char *text, int64_t min, int64_t max, int64_t *ret);
/* Prints one sentence and how the verb is used; returns CTL_USAGE. */
int ctl_usage(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- calls (ctl_call.c): CTL_OK or what to exit with, the reason printed. http_result_done is owed in any case. */
struct ctl_request {
	const char *method, *target;
	const char *const *headers;
	const char *body;
	size_t body_len;
	bool patient;			/* CTL_UNREACHABLE is not printed */
	int expected;			/* a refusal with this status is not printed: it is asked for; 0 = none */
};
int ctl_call(struct ctl *c, const struct ctl_request *req, struct http_result *ret);
/* GET head + encoded word. */
int ctl_fetch(struct ctl *c, const char *head, const char *word, struct http_result *ret);
/* Waits for the event's end and prints its record. CTL_FUNCTION_FAILED and a line on stderr unless it ended as wanted. */
int ctl_wait_record(struct ctl *c, const char *id, const char *want_condition);
/* GET target; --json: prints the answer, and *ret_json is NULL. Else the answer's tree, to be freed by ctl_json_freep. */
int ctl_get(struct ctl *c, const char *target, cJSON **ret_json);
int ctl_parse(const struct http_result *res, cJSON **ret_json);
static inline void ctl_json_freep(cJSON **j) { cJSON_Delete(*j); }
/* A verb of one word: GET head + that word, shown as lines "member  value". */
int ctl_show_one(struct ctl *c, int argc, char **argv, const char *head);
/* A verb with --function, --FILTER, --limit and --before: GET path with these. As ctl_get(). */
int ctl_get_page(struct ctl *c, int argc, char **argv, const char *path, const char *filter, cJSON **ret_json);
/* "/path/" + encoded word + "tail"; free with buf_done */
void ctl_path(struct buf *b, const char *head, const char *word, const char *tail);
/* Appends "?name=value" or "&name=value", encoded; nothing when value is NULL. */
void ctl_query(struct buf *b, const char *name, const char *value);

/* ---- output (ctl_out.c) */
struct ctl_table;
/* Headings, NULL-terminated. A heading that begins with '>' is of a right-aligned column. */
struct ctl_table *ctl_table_new(const char *const *headings);
/* One cell after the other; NULL or "" is a dash. Copied; control characters become '?'. */
void ctl_cell(struct ctl_table *t, const char *text);
void ctl_cellf(struct ctl_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void ctl_table_print(struct ctl_table *t, FILE *to);

/* stdout is a terminal that can be drawn upon. */
bool ctl_screen(void);
/* Colour: only then, and when NO_COLOR is unset or empty (no-color.org). */
enum ctl_paint { CTL_GREEN, CTL_YELLOW, CTL_RED, CTL_BOLD };
bool ctl_colour(void);
/* text as it is to be printed; itself without colour. Else one of eight buffers in turn, and a text of 500 bytes is cut. */
const char *ctl_paint(enum ctl_paint how, const char *text);

const cJSON *ctl_member(const cJSON *object, const char *name);	/* NULL when absent */
double ctl_sum(const cJSON *object);			/* of its numbers */
/* A member as text for people: "" when absent. Static buffers, eight in turn. */
const char *ctl_text(const cJSON *object, const char *name);
double ctl_number(const cJSON *object, const char *name, double fallback);
/* "5s ago", "in 2m" */
const char *ctl_age(const cJSON *object, const char *name);
const char *ctl_duration(double ms);			/* "3.2s", "4m 10s", "2h 5m", "3d 4h"; below 0 is 0 */
bool ctl_parse_iso(const char *text, int64_t *ret_ms);
const char *ctl_bytes(double n);			/* "512B", "3.0M", "612K" */
/* "a.b.c  value" lines of everything in it, sorted as it comes. */
void ctl_flat(const cJSON *value, const char *prefix, FILE *to);
/* JSON text with line breaks and indentation; the tokens stay as they are. */
void ctl_pretty(struct buf *b, const char *json, size_t len, int indent);
/* Says so on stderr when a list goes on. */
void ctl_more(const cJSON *j);
/* The objects of an answer's array member as text, one after the other: what is in them comes out as it came. */
struct ctl_each { const char *at, *end; };
struct ctl_each ctl_each_of(const struct http_result *res, const char *member);
bool ctl_each_next(struct ctl_each *e, const char **ret, size_t *ret_len);
void ctl_puts_raw(const char *data, size_t len, bool line);	/* to stdout; line: ends in a line break if it does not */
/* Not through stdio. False: nobody reads any more, which is an end, or it cannot be written (*ret_exit says which). */
bool ctl_write(const char *data, size_t len, int *ret_exit);

/* ---- parts of status (ctl_status.c), for top too */
/* The daemon's status; also with --json, which it prints. NULL: what to exit with is returned. Else whether the law holds. */
int ctl_status_get(struct ctl *c, cJSON **ret_json);
void ctl_headline(const cJSON *status);
void ctl_law(const cJSON *status);

/* ---- many things sent again, in many requests (ctl_redrive.c) */
struct ctl_pass {
	const char *path;		/* POST; with the filters in its query */
	const char *done;		/* the answer's list of what was sent; "left" is the other */
	int64_t max, rate;		/* rate 0: as fast as it goes */
	bool dry;
	bool twice;			/* what is not known to have been sent would be sent again, were the pass to go on */
	const char *after, *up_to;	/* as given; NULL = from the beginning, to the end there is now */
	void (*each)(const cJSON *one, void *arg);	/* of what was sent */
	void *arg;
};
#define CTL_PASS_MAX 100000
#define CTL_PASS_RATE_MAX 10000
/* Asks for about a second's worth at a time, and says how far it came whenever it ends early. */
int ctl_pass(struct ctl *c, const struct ctl_pass *p);
/* Rows of deliveries (ctl_delivery.c) */
void ctl_deliveries(const cJSON *list);
/* A member of an answer as indented JSON, under its name; nothing when it is absent (ctl_event.c) */
void ctl_spliced(const char *json, size_t len, const char *name);

/* ---- verbs that go on until they are interrupted (ctl_follow.c) */
/* From now on an interrupt ends the program with CTL_OK, wherever it comes: nothing of use may wait in a buffer. */
void ctl_follow_begin(void);
/* A while, to ask again after it. False: whoever read our output has gone. */
bool ctl_follow_rest(void);

/* ---- verbs */
/* The verb that runs, for as long as --watch says; once without. */
bool ctl_may_watch(const struct ctl_verb *v);
int ctl_watch(struct ctl *c, int argc, char **argv);
int ctl_status(struct ctl *c, int argc, char **argv);
int ctl_function_list(struct ctl *c, int argc, char **argv);
int ctl_function_show(struct ctl *c, int argc, char **argv);
int ctl_topic_list(struct ctl *c, int argc, char **argv);
int ctl_topic_show(struct ctl *c, int argc, char **argv);
int ctl_bus_list(struct ctl *c, int argc, char **argv);
int ctl_bus_show(struct ctl *c, int argc, char **argv);
int ctl_health(struct ctl *c, int argc, char **argv);
int ctl_function_publish(struct ctl *c, int argc, char **argv);
int ctl_function_versions(struct ctl *c, int argc, char **argv);
int ctl_alias_list(struct ctl *c, int argc, char **argv);
int ctl_alias_get(struct ctl *c, int argc, char **argv);
int ctl_alias_set(struct ctl *c, int argc, char **argv);
int ctl_alias_delete(struct ctl *c, int argc, char **argv);
int ctl_invoke(struct ctl *c, int argc, char **argv);
int ctl_event_list(struct ctl *c, int argc, char **argv);
int ctl_event_show(struct ctl *c, int argc, char **argv);
int ctl_event_cancel(struct ctl *c, int argc, char **argv);
int ctl_event_retry(struct ctl *c, int argc, char **argv);
int ctl_event_redrive(struct ctl *c, int argc, char **argv);
int ctl_record_list(struct ctl *c, int argc, char **argv);
int ctl_record_show(struct ctl *c, int argc, char **argv);
int ctl_record_tail(struct ctl *c, int argc, char **argv);
int ctl_queue_list(struct ctl *c, int argc, char **argv);
int ctl_queue_receive(struct ctl *c, int argc, char **argv);
int ctl_queue_peek(struct ctl *c, int argc, char **argv);
int ctl_queue_purge(struct ctl *c, int argc, char **argv);
int ctl_queue_redrive(struct ctl *c, int argc, char **argv);
int ctl_delivery_list(struct ctl *c, int argc, char **argv);
int ctl_delivery_show(struct ctl *c, int argc, char **argv);
int ctl_delivery_retry(struct ctl *c, int argc, char **argv);
int ctl_delivery_drop(struct ctl *c, int argc, char **argv);
int ctl_logs(struct ctl *c, int argc, char **argv);
int ctl_top(struct ctl *c, int argc, char **argv);
int ctl_reload(struct ctl *c, int argc, char **argv);
int ctl_version(struct ctl *c, int argc, char **argv);
int ctl_doctor(struct ctl *c, int argc, char **argv);
int ctl_completion(struct ctl *c, int argc, char **argv);
int ctl_help(struct ctl *c, int argc, char **argv);
