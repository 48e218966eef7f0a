/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A listening unix socket, and who may speak through it. */
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Root, uid, and the members of gid (primary or supplementary, as the kernel had them at connect()). */
struct http_peers {
	uid_t uid;
	gid_t gid;
	bool have_gid;
};
/* Fills ret with this process' uid and, when a group of that name exists, its gid. Asks NSS, so it may block: once, at start.
 * group NULL or "" = none. A group that does not exist is no error; a failing look-up is. */
int http_peers_resolve(const char *group, struct http_peers *ret, struct err *e);

struct http_peer { uid_t uid; gid_t gid; pid_t pid; };
/* Who is at the other end of fd, and whether that is one of them. -errno when the kernel does not say: then it is nobody. */
int http_peer_check(int fd, const struct http_peers *who, struct http_peer *ret, bool *ret_allowed);

/*
 * Listens on path: mode 0660, group who->gid when there is one (and we may give it away). A socket file that nobody
 * listens on is replaced; -EADDRINUSE when somebody does, -EEXIST when the path is no socket, -ENAMETOOLONG when it
 * does not fit. *ret is CLOEXEC and non-blocking. The file is the caller's to unlink when it is done.
 */
int http_listen_unix(const char *path, const struct http_peers *who, int *ret, struct err *e);
