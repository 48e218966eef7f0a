/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barest daemon: prog_bare_daemon SOCKET DATABASE. Opens the database as the store does, reads one row of it, and
 * answers whatever is asked on the socket with {}, from an epoll loop, until SIGTERM.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <sqlite3.h>

static int fail(const char *what)
{
	fprintf(stderr, "prog_bare_daemon: %s\n", what);
	return 1;
}

static int open_database(const char *path)
{
	sqlite3_stmt *s;
	sqlite3 *db;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return fail("the database cannot be opened");
	if (sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384", NULL, NULL,
			 NULL) != SQLITE_OK)
		return fail(sqlite3_errmsg(db));
	if (sqlite3_prepare_v2(db, "SELECT count(*) FROM event", -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
		return fail(sqlite3_errmsg(db));
	sqlite3_finalize(s);
	return 0;
}

static int add(int epoll, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void answer(int fd)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
	char request[4096];

	if (read(fd, request, sizeof(request)) <= 0 || write(fd, text, sizeof(text) - 1) < 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int epoll = epoll_create1(EPOLL_CLOEXEC), listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), stop;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	stop = signalfd(-1, &set, SFD_CLOEXEC);
	if (argc != 3 || strlen(argv[1]) >= sizeof(a.sun_path))
		return fail("SOCKET DATABASE");
	if (open_database(argv[2]) != 0)
		return 1;
	memcpy(a.sun_path, argv[1], strlen(argv[1]) + 1);
	unlink(argv[1]);
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 16) < 0 || add(epoll, listener) < 0 ||
	    add(epoll, stop) < 0)
		return fail("the socket cannot be made");
	for (;;) {
		struct epoll_event ev;

		if (epoll_wait(epoll, &ev, 1, -1) != 1)
			continue;
		if (ev.data.fd == stop)
			break;
		if (ev.data.fd == listener)
			(void)add(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
		else
			answer(ev.data.fd);
	}
	unlink(argv[1]);
	return 0;
}
