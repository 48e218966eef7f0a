/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a processor busy until it is killed or its parent is gone: the load of the fault matrix. */
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t parent = getppid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return 0;
	for (volatile unsigned long n = 0;; n++)
		;
}
