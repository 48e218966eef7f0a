/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal, drawn upon again and again, and given back as it was on every way out.
 *
 * screen_open() takes the alternate screen, and keys one by one where stdin is the same kind of thing; screen_close()
 * undoes both. What ends the program from outside (an interrupt, a closed terminal, an abort) is caught and undoes them
 * too, so nothing here may call what is not safe in a signal handler: both are write() and tcsetattr(). An interrupt
 * ends the program where it stands, also while a daemon that was stopped lets it wait; so screen_status() must be told
 * beforehand what to end with. A picture is one write(): no flicker, and none is ever half drawn.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/ctl_screen.h"

/* Alternate screen, no cursor, long lines are cut: a line that wraps would push the first one out. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static struct termios cooked, keyed;
static volatile sig_atomic_t drawing, keys, end_with;
static sigset_t waiting;		/* while we wait for keys and time: a new size gets through */

static void enter(void)
{
	if (keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &keyed);
	if (drawing)
		(void)!write(STDOUT_FILENO, ENTER, sizeof(ENTER) - 1);
}

static void leave(void)
{
	if (drawing)
		(void)!write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1);
	if (keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
}

static void on_end(int signo)
{
	leave();
	_exit(end_with);
}

static void on_abort(int signo)
{
	leave();
	(void)raise(signo);	/* comes through when we are out of here, and is the end */
}

/* Stops for real, with the terminal as the shell wants it; goes on when the shell says so. */
static void on_stop(int signo)
{
	struct sigaction normal = { .sa_handler = SIG_DFL }, ours;
	int error = errno;
	sigset_t stop;

	leave();
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	(void)sigaction(SIGTSTP, &normal, &ours);
	(void)raise(SIGTSTP);
	(void)sigprocmask(SIG_UNBLOCK, &stop, NULL);
	(void)sigaction(SIGTSTP, &ours, NULL);
	enter();
	errno = error;
}

static void on_size(int signo)
{
}

static void catch(int signo, void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&sa.sa_mask);
	/* One that ends us while another program has the terminal must not be stopped for giving it back. */
	sigaddset(&sa.sa_mask, SIGTTOU);
	(void)sigaction(signo, &sa, NULL);
}

void screen_status(int exit_status)
{
	end_with = exit_status;
}

void screen_open(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t size;

	drawing = ctl_screen();
	keys = drawing && isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &cooked) == 0;
	keyed = cooked;
	keyed.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	keyed.c_cc[VMIN] = 1;
	keyed.c_cc[VTIME] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		catch(ends[i], on_end, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!drawing)
		return;
	catch(SIGABRT, on_abort, (int)SA_RESETHAND);
	catch(SIGTSTP, on_stop, 0);
	catch(SIGWINCH, on_size, 0);
	sigemptyset(&size);
	sigaddset(&size, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &size, &waiting);
	enter();
}

void screen_close(void)
{
	leave();
	drawing = keys = 0;
}

void screen_picture(struct buf *b, const char *text, size_t rows)
{
	size_t lines = 0, left;

	for (const char *p = text; *p; p++)
		lines += *p == '\n' || !p[1];
	left = lines;
	buf_adds(b, "\033[H");
	/* Cleared before it is written: behind a line that fills its row the cursor would still be on its last character. */
	for (const char *p = text; *p && left; left--) {
		size_t n = strcspn(p, "\n");
		bool last = left == 1 || lines - left + 1 == rows;

		buf_adds(b, last ? "\033[J" : "\033[K");
		if (last && left > 1)
			buf_addf(b, "... %zu more lines", left);
		else
			buf_add(b, p, n);
		if (last)
			break;
		buf_addc(b, '\n');
		p += n + (p[n] == '\n');
	}
}

bool screen_draw(const char *text)
{
	CLEAN(buf_done) struct buf b = {};
	struct winsize size = {};
	int ignored;

	if (!drawing)
		return ctl_write(text, strlen(text), &ignored);
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	screen_picture(&b, text, size.ws_row ? size.ws_row : 24);
	return ctl_write(b.data, b.len, &ignored);
}

int screen_wait(int64_t ms)
{
	struct pollfd p[] = { { .fd = STDOUT_FILENO }, { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN } };
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
	unsigned char key;
	int r = ppoll(p, ARRAY_SIZE(p), ms < 0 ? NULL : &ts, drawing ? &waiting : NULL);

	if (r < 0)
		return SCREEN_RESIZED;		/* or stopped, and here again: draw in any case */
	if (r == 0)
		return SCREEN_TIME;
	if (p[0].revents & (POLLERR | POLLHUP | POLLNVAL))
		return SCREEN_END;
	return read(STDIN_FILENO, &key, 1) == 1 ? key : SCREEN_END;
}
