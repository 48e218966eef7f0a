/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fatectl gets over the socket: answers of a daemon that may be another version, broken, or somebody else. Every
 * verb runs as it does for people, and its calls are answered through http_call()'s own call-backs as libcurl would: the head
 * line by line, the body in pieces.
 *
 * Input: a byte for the verb (bit 7: --json), then answers, one a call, with 0x1e between them:
 * "HTTP/1.1 200\r\nName: value\r\n\r\nbody".
 */
#include <ctype.h>
#include <errno.h>

int ctl_main(int argc, char **argv);

/* The real call-backs and results, and another way to them. Only the calls are renamed, not struct http_call. */
#define http_call(c, call, ret, e) http_call_by_curl(c, call, ret, e)
#define http_caller_new(path, ret, e) http_caller_new_by_curl(path, ret, e)
#include "../../user/net/http_call.c"
#undef http_call
#undef http_caller_new
#define main ctl_main
#include "../../user/ctl/main.c"
#undef main

#include "base/json.h"
#include "fuzz/fuzz.h"

int http_call(struct http_caller *c, const struct http_call *call, struct http_result *ret, struct err *e);
int http_caller_new(const char *socket_path, struct http_caller **ret, struct err *e);

#define ID "5f0c6b1e-8a70-4a35-9d4c-0e8f9c1d2b3a"
enum { ANY = 0, CLEAN_TEXT, ENVELOPE };
/* CLEAN_TEXT: all of it goes through ctl_out.c's tables and lines, where control characters end. ENVELOPE: JSON with --json. */
static const struct { const char *args[6]; int kind; } verbs[] = {
	{ { "status" }, ANY },
	{ { "function", "list" }, CLEAN_TEXT },
	{ { "function", "show", "f" }, CLEAN_TEXT },
	{ { "invoke", "f" }, ENVELOPE },
	{ { "invoke", "f", "--async" }, ENVELOPE },
	{ { "invoke", "f", "--async", "--wait" }, ANY },
	{ { "event", "list" }, CLEAN_TEXT },
	{ { "event", "show", ID }, ANY },
	{ { "record", "list" }, CLEAN_TEXT },
	{ { "record", "show", ID }, ANY },
	{ { "queue", "list" }, CLEAN_TEXT },
	{ { "queue", "receive", "q" }, ANY },
	{ { "queue", "receive", "q", "--delete" }, ANY },
	{ { "delivery", "list" }, CLEAN_TEXT },
	{ { "logs", "f" }, ANY },
	{ { "reload" }, ANY },
	{ { "version" }, ANY },
};

/* ---- the other end ----------------------------------------------------------------------------------------- */

static struct input wire;

int http_caller_new(const char *socket_path, struct http_caller **ret, struct err *e)
{
	*ret = XNEW(struct http_caller);
	return 0;
}

/* The head's next line, in a block of its own: libcurl terminates nothing. False when it was the last one. */
static bool give_line(struct input *in, struct http_result *ret)
{
	const uint8_t *lf = in->left ? memchr(in->at, '\n', in->left) : NULL;
	size_t n = lf ? (size_t)(lf - in->at) + 1 : in->left;
	char *line = take_rest(in, n);
	bool last = !lf || n == 1 || (n == 2 && line[0] == '\r');

	if (n > 9 && memcmp(line, "HTTP/1.1 ", 9) == 0)
		ret->status = n > 12 ? (line[9] & 15) * 100 + (line[10] & 15) * 10 + (line[11] & 15) : 0;
	if (n)
		MUST(on_header(line, 1, n, ret) == n);
	free(line);
	return !last;
}

int http_call(struct http_caller *c, const struct http_call *call, struct http_result *ret, struct err *e)
{
	const uint8_t *end;
	struct input in;

	*ret = (struct http_result){};
	MUST(call->target[0] == '/' && !strpbrk(call->target, " \r\n"));
	if (!wire.left)
		return err_set(e, -EPIPE, "broke off");
	end = memchr(wire.at, 0x1e, wire.left);
	in = (struct input){ wire.at, end ? (size_t)(end - wire.at) : wire.left };
	wire.at += in.left + (end != NULL);
	wire.left -= in.left + (end != NULL);
	while (give_line(&in, ret))
		;
	while (in.left) {
		size_t n = (in.left + 1) / 2;
		char *piece = take_rest(&in, n);

		MUST(on_body(piece, 1, n, ret) == n);
		free(piece);
	}
	return 0;
}

/* ---- this end ---------------------------------------------------------------------------------------------- */

static void check_output(const char *text, size_t len, int kind, bool json, int exit_status)
{
	MUST(exit_status >= CTL_OK && exit_status <= CTL_DAEMON_FAILED);
	if (kind == CLEAN_TEXT && !json)
		for (size_t i = 0; i < len; i++)
			MUST(text[i] == '\n' || !iscntrl((unsigned char)text[i]));
	if (kind == ENVELOPE && json && exit_status <= CTL_FUNCTION_FAILED)
		MUST(json_valid(text, len, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	FILE *out = stdout, *err = stderr;
	char *text = NULL, *argv[9] = { (char *)"fatectl" };
	size_t len = 0;
	int verb, argc = 1, r;
	bool json;

	wire = (struct input){ data, size };
	r = (int)take_number(&wire, 1);
	json = r & 0x80;
	verb = (r & 0x7f) % (int)ARRAY_SIZE(verbs);
	for (int i = 0; i < 6 && verbs[verb].args[i]; i++)
		argv[argc++] = (char *)verbs[verb].args[i];
	if (json)
		argv[argc++] = (char *)"--json";

	if (!nowhere)
		nowhere = fopen("/dev/null", "we");
	MUST(nowhere);
	stdout = open_memstream(&text, &len);
	MUST(stdout);
	stderr = nowhere;
	r = ctl_main(argc, argv);
	stderr = err;
	fclose(stdout);
	stdout = out;
	check_output(text, len, verbs[verb].kind, json, r);
	free(text);
	return 0;
}
