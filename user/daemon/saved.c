/* SPDX-License-Identifier: Apache-2.0 */
/* {"directory": DIR, "files": [{"file": NAME, "text": DEFINITION}, …]}, in order of the names. */
#include "daemon/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/def_tree.h"

#define BYTES_MAX (256u << 20)		/* of the whole file */

static int add_file(void *arg, const char *file, const char *text, size_t len)
{
	struct buf *b = arg;

	buf_adds(b, b->data[b->len - 1] == '[' ? "\n{\"file\": " : ",\n{\"file\": ");
	json_add_string(b, file, strlen(file));
	buf_adds(b, ", \"text\": ");
	json_add_string(b, text, len);
	buf_addc(b, '}');
	return b->len > BYTES_MAX ? -EFBIG : 0;
}

static int write_all(int fd, const struct buf *b)
{
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = write(fd, b->data + done, b->len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int saved_write(const char *path, const char *dir, const struct definitions *d, struct err *e)
{
	CLEAN(buf_done) struct buf b = {};
	CLEAN(closep) int fd = -EBADF;
	CLEAN(freep) char *born = xasprintf("%s.new", path);
	int r;

	buf_adds(&b, "{\"directory\": ");
	json_add_string(&b, dir, strlen(dir));
	buf_adds(&b, ", \"files\": [");
	r = definitions_each(d, add_file, &b);
	if (r < 0) {
		(void)unlink(path);
		return err_set(e, r, "the definitions are more than %u MiB", BYTES_MAX >> 20);
	}
	buf_adds(&b, "\n]}\n");
	/* Not O_EXCL: one that was begun before a crash is written anew. */
	fd = open(born, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : write_all(fd, &b);
	if (r == 0 && rename(born, path) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	(void)unlink(born);
	(void)unlink(path);
	return err_errno(e, r, "%s", path);
}

static int read_all(const char *path, struct buf *ret, struct err *e)
{
	CLEAN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_errno(e, -errno, "%s", path);
	if (fstat(fd, &st) < 0)
		return err_errno(e, -errno, "%s", path);
	/* It says what root runs, as definitions do. */
	if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, -EPERM, "%s: is not a file that only the daemon may write", path);
	r = buf_read(ret, fd, BYTES_MAX);
	if (r == -EFBIG)
		return err_set(e, -EBADMSG, "%s: is larger than %u MiB", path, BYTES_MAX >> 20);
	return r < 0 ? err_errno(e, r, "%s", path) : 0;
}

static int take_files(const char *path, const cJSON *files, struct definitions *d, struct err *e)
{
	const char *last = "";
	const cJSON *o;

	cJSON_ArrayForEach(o, files) {
		const char *file = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "file"));
		const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "text"));

		if (!file || !text || strcmp(file, last) <= 0)
			return err_set(e, -EBADMSG, "%s: is not what a daemon wrote", path);
		last = file;
		(void)definitions_remember(d, file, text, strlen(text));
	}
	return 0;
}

int saved_read(const char *path, const char *dir, struct definitions *d, struct err *e)
{
	CLEAN(buf_done) struct buf text = {};
	CLEAN(cJSON_Deletep) cJSON *root = NULL;
	const char *of;
	int r = read_all(path, &text, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	root = cJSON_ParseWithLength(buf_str(&text), text.len);
	of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "directory"));
	if (!of)
		return err_set(e, -EBADMSG, "%s: is not what a daemon wrote", path);
	if (strcmp(of, dir) != 0)
		return 0;
	return take_files(path, cJSON_GetObjectItemCaseSensitive(root, "files"), d, e);
}
