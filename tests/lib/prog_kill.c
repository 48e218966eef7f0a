/* SPDX-License-Identifier: Apache-2.0 */
/* prog_kill PID[,PID…] SIGNAL [UID]: sends one signal under a name (and a user) that the test knows; -PID is a process group. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int gone = 0;

	if (argc < 3) {
		fputs("usage: prog_kill PID[,PID...] SIGNAL [UID]\n", stderr);
		return 2;
	}
	prctl(PR_SET_NAME, "fate_killer");
	if (argc > 3) {
		uid_t uid = (uid_t)atoi(argv[3]);

		if (setresuid(uid, uid, uid) < 0) {
			perror("prog_kill: setresuid");
			return 1;
		}
	}
	for (const char *p = strtok(argv[1], ","); p; p = strtok(NULL, ",")) {
		if (kill(atoi(p), atoi(argv[2])) < 0)
			gone++;
	}
	return gone ? 3 : 0;
}
