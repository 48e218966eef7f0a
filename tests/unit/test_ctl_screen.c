/* SPDX-License-Identifier: Apache-2.0 */
/* What is drawn on a terminal, as bytes, and the small formats of fatectl's tables. */
#include "ctl/ctl_out.c"
#include "ctl/ctl_screen.c"

#include "lib/test.h"

static void check_picture(const char *text, size_t rows, const char *want)
{
	CLEAN(buf_done) struct buf b = {};

	screen_picture(&b, text, rows);
	CHECK_STR(buf_str(&b), want);
}

/* What stood there goes, to the end of each line and below the last; a picture of as many lines as there are rows does
 * not scroll, and a longer one says what is missing. */
static void pictures(void)
{
	check_picture("", 3, "\033[H");
	check_picture("one\n", 3, "\033[H\033[Jone");
	check_picture("one", 3, "\033[H\033[Jone");
	check_picture("one\n\ntwo\n", 9, "\033[H\033[Kone\n\033[K\n\033[Jtwo");
	check_picture("1\n2\n3\n", 3, "\033[H\033[K1\n\033[K2\n\033[J3");
	check_picture("1\n2\n3", 3, "\033[H\033[K1\n\033[K2\n\033[J3");
	check_picture("1\n2\n3\n4\n", 3, "\033[H\033[K1\n\033[K2\n\033[J... 2 more lines");
	check_picture("1\n2\n3\n4\n", 1, "\033[H\033[J... 4 more lines");
}

static void sizes(void)
{
	CHECK_STR(ctl_bytes(0), "0B");
	CHECK_STR(ctl_bytes(1023), "1023B");
	CHECK_STR(ctl_bytes(1024), "1.0K");
	CHECK_STR(ctl_bytes(99.9 * 1024), "99.9K");
	CHECK_STR(ctl_bytes(612 * 1024), "612K");
	CHECK_STR(ctl_bytes(3.0 * 1024 * 1024), "3.0M");
	CHECK_STR(ctl_bytes(5e15), "4547T");
}

int main(void)
{
	RUN(pictures);
	RUN(sizes);
	TEST_END();
}
