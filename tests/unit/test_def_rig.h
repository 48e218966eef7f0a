/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Definition texts and what is wrong with them; shared by the tests of topics and buses. The including test defines
 * rig_parse(), which parses, drops what it got, and says whether it got something. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/test.h"
#include "model/func.h"

static bool rig_parse(const char *json, size_t len, struct func_problems *p);

static char rig_problems[65536];	/* "path: reason" lines of the last parse */

static bool rig_good(const char *json, size_t len)
{
	struct func_problems p = {};
	bool got = rig_parse(json, len, &p);
	size_t n = 0;

	rig_problems[0] = '\0';
	for (size_t i = 0; i < p.n && n < sizeof(rig_problems); i++)
		n += (size_t)snprintf(rig_problems + n, sizeof(rig_problems) - n, "%s: %s\n", p.list[i].path, p.list[i].reason);
	if (got != !p.n)
		snprintf(rig_problems, sizeof(rig_problems), "!! got %d with %zu problems", got, p.n);
	func_problems_done(&p);
	return got;
}

/* Exactly one problem, at this path, with this in its reason. */
static void rig_one_problem(const char *json, const char *path, const char *word)
{
	bool got = rig_good(json, strlen(json));
	const char *nl = strchr(rig_problems, '\n');
	size_t len = strlen(path);

	if (got)
		FAIL("%.400s was taken", json);
	if (strncmp(rig_problems, path, len) != 0 || strncmp(rig_problems + len, ": ", 2) != 0)
		FAIL("%.300s: problem \"%.300s\" is not at %.100s", json, rig_problems, path);
	if (!strstr(rig_problems + len, word))
		FAIL("%.300s: problem \"%.300s\" does not say \"%.100s\"", json, rig_problems, word);
	if (!nl || nl[1])
		FAIL("%.300s: more than one problem: %.400s", json, rig_problems);
}

/* Mutations of a good text: each gives a snapshot or problems, never both, never neither. One seed: failures come again. */
static void rig_mutations(const char *text)
{
	static const char *const pieces[] = { "\"", "{", "}", "[", "]", ",", ":", "null", "true", "-1", "\\u0000",
					      "\\ud800", "\xff",
		"\"TopicName\":", "\"EventBusName\":\"x\",", "\"Protocol\":\"command\",", "\"Id\":\"x\",",
		"\"Protocol\":1,", "arn:aws:", "queue:" };
	unsigned long long seed = 0x5eed;
	char copy[4096];

	for (int round = 0; round < 20000; round++) {
		size_t len = strlen(text), changes;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		changes = 1 + (size_t)(seed >> 61);
		memcpy(copy, text, len);
		while (changes--) {
			size_t at, n;
			const char *piece;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			at = (size_t)(seed >> 33) % len;
			piece = pieces[(seed >> 20) % (sizeof(pieces) / sizeof(pieces[0]))];
			n = strlen(piece);
			if (seed >> 63 && len + n < sizeof(copy)) {
				memmove(copy + at + n, copy + at, len - at);
				memcpy(copy + at, piece, n);
				len += n;
			} else {
				copy[at] = (char)(seed >> 24);
			}
		}
		(void)rig_good(copy, len);
		if (strncmp(rig_problems, "!!", 2) == 0)
			FAIL("%.*s: %s", (int)len, copy, rig_problems);
	}
}
