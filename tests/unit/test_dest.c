/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender and the file destination: the real thread, the real loop, real files. fdatasync, fsync and ftruncate are
 * this program's own, so that a disk can be made to wait or to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "dest/deliver.h"
#include "dest/dest.h"
#include "lib/test.h"

#define REQUEST "11111111-1111-4111-8111-111111111111"
#define ANSWERS_MAX 1000
#define PATIENCE_US (60 * 1000000ULL)	/* a condition that does not come in a minute is a failure, not a slow disk */

/* ---- the disk ------------------------------------------------------------------------------------------------ */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool closed;		/* syncs wait */
	int waiting;
	int sync_errno, dir_sync_errno, truncate_errno;
	int syncs, dir_syncs, truncates;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };

static int answer_with(int code)
{
	errno = code;
	return code ? -1 : 0;
}

int fdatasync(int fd)
{
	int code;

	pthread_mutex_lock(&disk.lock);
	disk.syncs++;
	disk.waiting++;
	pthread_cond_broadcast(&disk.change);
	while (disk.closed)
		pthread_cond_wait(&disk.change, &disk.lock);
	disk.waiting--;
	code = disk.sync_errno;
	pthread_mutex_unlock(&disk.lock);
	return code ? answer_with(code) : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	struct stat st;
	int code;

	pthread_mutex_lock(&disk.lock);
	disk.dir_syncs += fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	code = disk.dir_sync_errno;
	pthread_mutex_unlock(&disk.lock);
	return code ? answer_with(code) : (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t len)
{
	int code;

	pthread_mutex_lock(&disk.lock);
	disk.truncates++;
	code = disk.truncate_errno;
	pthread_mutex_unlock(&disk.lock);
	return code ? answer_with(code) : (int)syscall(SYS_ftruncate, fd, len);
}

static void disk_gate(bool closed)
{
	pthread_mutex_lock(&disk.lock);
	disk.closed = closed;
	pthread_cond_broadcast(&disk.change);
	pthread_mutex_unlock(&disk.lock);
}

static void disk_wait_for_a_sync(void)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&disk.lock);
	while (!disk.waiting && !r)
		r = pthread_cond_timedwait(&disk.change, &disk.lock, &until);
	pthread_mutex_unlock(&disk.lock);
	CHECK_INT(r, 0);
}

static void disk_healthy(void)
{
	disk_gate(false);
	disk.sync_errno = disk.dir_sync_errno = disk.truncate_errno = 0;
	disk.syncs = disk.dir_syncs = disk.truncates = 0;
}

/* ---- the engine's side --------------------------------------------------------------------------------------- */

struct answered {
	int64_t seq;
	enum outbox_role role;
	enum delivered how;
	char why[300];
};
static struct answered answers[ANSWERS_MAX];
static int n_answers, again;
static bool in_send;
static pthread_t loop_thread;
static sd_event *loop;
static struct port_deliver *port;
static struct deliver_sink sink;
static char dir[64];
static char big_path[128];
static int64_t next_seq;

static void send_row(const char *target, enum outbox_role role, const char *body, const char *attributes);

static void delivered(void *self, int64_t seq, enum outbox_role role, enum delivered how, const char *why)
{
	struct answered *a = &answers[n_answers++];

	if (self != answers || in_send || !pthread_equal(pthread_self(), loop_thread) || n_answers == ANSWERS_MAX)
		abort();
	*a = (struct answered){ .seq = seq, .role = role, .how = how };
	snprintf(a->why, sizeof(a->why), "%s", why);
	if (again) {
		again--;
		send_row(big_path, ROLE_ON_SUCCESS, "{\"again\":true}", NULL);
	}
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static void clear(void)
{
	disk_healthy();
	port = deliver_free(port);
	loop = sd_event_unref(loop);
	if (dir[0])
		nftw(dir, rm, 8, FTW_DEPTH | FTW_PHYS);
}

static void fresh(void)
{
	struct err e = {};

	clear();
	snprintf(dir, sizeof(dir), "/tmp/fated-dest-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(big_path, sizeof(big_path), "file:%s/again.jsonl", dir);
	n_answers = again = 0;
	next_seq = 1;
	loop_thread = pthread_self();
	CHECK(sd_event_new(&loop) >= 0);
	sink = (struct deliver_sink){};		/* filled in after the port is made, as the daemon does */
	if (deliver_new(loop, &sink, &port, &e) < 0)
		FAIL("%s", err_msg(&e));
	sink = (struct deliver_sink){ .self = answers, .delivered = delivered };
	CHECK_INT(port->ops->version, PORT_DELIVER_VERSION);
}

static void send_row(const char *target, enum outbox_role role, const char *body, const char *attributes)
{
	struct store_op_outbox row = { .seq = next_seq++, .role = role, .function = "thumbs", .attempt = 3 };

	snprintf(row.target, sizeof(row.target), "%s", target);
	snprintf(row.key, sizeof(row.key), REQUEST ":%s", outbox_role_name(role));
	row.body = body ? blob_new(body, strlen(body)) : NULL;
	row.attributes = attributes ? blob_new(attributes, strlen(attributes)) : NULL;
	in_send = true;
	port->ops->send(port, &row);
	in_send = false;
	blob_unref(row.body);
	blob_unref(row.attributes);
}

static void wait_for(int n)
{
	while (n_answers < n) {
		int r = sd_event_run(loop, PATIENCE_US);

		if (r <= 0)
			FAIL("%d answers of %d, then nothing", n_answers, n);
	}
	CHECK_INT(n_answers, n);
}

static const char *path_of(const char *name)
{
	static char ring[4][160];
	static int at;
	char *p = ring[at++ % 4];

	snprintf(p, sizeof(ring[0]), "%s/%s", dir, name);
	return p;
}

static const char *target_of(const char *name)
{
	static char t[200];

	snprintf(t, sizeof(t), "file:%s", path_of(name));
	return t;
}

/* Sends to a file in the test's directory and returns the answer. */
static const struct answered *deliver_to(const char *name, const char *body)
{
	send_row(target_of(name), ROLE_ON_FAILURE, body, NULL);
	wait_for(n_answers + 1);
	return &answers[n_answers - 1];
}

static const struct buf *content(const char *name)
{
	static struct buf b;
	char chunk[65536];
	size_t n;
	FILE *f = fopen(path_of(name), "re");

	buf_clear(&b);
	while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&b, chunk, n);
	if (f)
		fclose(f);
	return &b;
}

static void put_file(const char *name, const char *data)
{
	FILE *f = fopen(path_of(name), "we");

	CHECK(f && fputs(data, f) >= 0 && fclose(f) == 0);
}

#define CHECK_ACK(a) do { const struct answered *_a = (a); CHECK_STR(_a->why, ""); CHECK_INT(_a->how, DELIVERED_ACK); } while (0)
#define CHECK_ANSWER(a, h, part) do { const struct answered *_a = (a); CHECK_INT(_a->how, h); \
	if (!strstr(_a->why, part)) FAIL("\"%s\" does not say \"%s\"", _a->why, part); } while (0)
#define CHECK_FILE(name, want) CHECK_STR(buf_str(content(name)), want)

/* ---- the file ------------------------------------------------------------------------------------------------ */

static void a_record_is_a_line(void)
{
	struct stat st;
	mode_t old = umask(022);

	fresh();
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":1}"));
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":2}"));
	umask(old);
	CHECK_FILE("r.jsonl", "{\"n\":1}\n{\"n\":2}\n");
	CHECK(stat(path_of("r.jsonl"), &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0640);
	CHECK_INT(answers[0].seq, 1);
	CHECK_INT(answers[1].seq, 2);
	CHECK_INT(answers[0].role, ROLE_ON_FAILURE);
}

static void it_is_synced_before_the_answer(void)
{
	fresh();
	disk_gate(true);
	send_row(target_of("r.jsonl"), ROLE_ON_SUCCESS, "{}", NULL);
	disk_wait_for_a_sync();
	CHECK_FILE("r.jsonl", "{}\n");
	CHECK(sd_event_run(loop, 0) >= 0);	/* nothing to be told yet */
	CHECK_INT(n_answers, 0);
	disk_gate(false);
	wait_for(1);
	CHECK_ACK(&answers[0]);
	CHECK_INT(disk.syncs, 1);
	CHECK_INT(disk.dir_syncs, 1);	/* the name is new */
	CHECK_ACK(deliver_to("r.jsonl", "{}"));
	CHECK_INT(disk.syncs, 2);
	CHECK_INT(disk.dir_syncs, 1);
}

static void line_breaks_become_blanks(void)
{
	fresh();
	CHECK_ACK(deliver_to("r.jsonl", "{\n\t\"a\": \"x\\ny\",\r\n\"b\": 1\n}"));
	CHECK_FILE("r.jsonl", "{ \t\"a\": \"x\\ny\",  \"b\": 1 }\n");
}

static void an_empty_body_is_an_empty_object(void)
{
	fresh();
	CHECK_ACK(deliver_to("r.jsonl", NULL));
	CHECK_ACK(deliver_to("r.jsonl", ""));
	CHECK_FILE("r.jsonl", "{}\n{}\n");
}

static void a_dead_letter_keeps_its_attributes(void)
{
	fresh();
	send_row(target_of("d.jsonl"), ROLE_DEAD_LETTER, "[1,\n2]",
		 "{\"RequestID\":{\"DataType\":\"String\",\"StringValue\":\"" REQUEST "\"}}");
	wait_for(1);
	CHECK_ACK(&answers[0]);
	CHECK_INT(answers[0].role, ROLE_DEAD_LETTER);
	CHECK_FILE("d.jsonl", "{\"MessageAttributes\":{\"RequestID\":{\"DataType\":\"String\",\"StringValue\":\"" REQUEST
		   "\"}},\"Body\":[1, 2]}\n");
	send_row(target_of("d.jsonl"), ROLE_DEAD_LETTER, NULL, "{}");
	wait_for(2);
	CHECK(strstr(buf_str(content("d.jsonl")), "\n{\"MessageAttributes\":{},\"Body\":{}}\n"));
}

static void a_large_record_arrives_whole(void)
{
	size_t len = 7u << 20;
	CLEAN(freep) char *body = malloc(len + 1);

	fresh();
	CHECK(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (char)('a' + i % 26);
	body[0] = body[len - 1] = '"';
	body[len] = '\0';
	CHECK_ACK(deliver_to("r.jsonl", body));
	CHECK_INT(content("r.jsonl")->len, len + 1);
	CHECK(memcmp(content("r.jsonl")->data, body, len) == 0);
	CHECK_INT(content("r.jsonl")->data[len], '\n');
}

static void a_torn_line_spoils_no_other(void)
{
	fresh();
	put_file("r.jsonl", "{\"whole\":1}\n{\"to");
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":1}"));
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":2}"));
	CHECK_FILE("r.jsonl", "{\"whole\":1}\n{\"to\n{\"n\":1}\n{\"n\":2}\n");
}

static int said;
static char said_ids[80], said_last[300];

static void hear(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	said++;
	snprintf(said_ids, sizeof(said_ids), "%d %s %s %u", level, ctx && ctx->function ? ctx->function : "-",
		 ctx && ctx->request_id ? ctx->request_id : "-", ctx ? ctx->attempt : 0);
	snprintf(said_last, sizeof(said_last), "%s", msg);
}

static void what_does_not_fit_is_cut_back(void)
{
	struct rlimit old, small;
	bool set;

	fresh();
	put_file("r.jsonl", "{\"n\":1}\n");
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	log_set_sink(hear);	/* standard error may be a file, too, and longer */
	small = old;
	small.rlim_cur = 12;
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	send_row(target_of("r.jsonl"), ROLE_ON_FAILURE, "{\"n\":2}", NULL);	/* four bytes fit */
	wait_for(1);
	small.rlim_cur = 8;
	set = setrlimit(RLIMIT_FSIZE, &small) == 0;
	send_row(target_of("r.jsonl"), ROLE_ON_FAILURE, "{\"n\":2}", NULL);	/* none does */
	wait_for(2);
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0 && set);
	log_set_sink(NULL);
	CHECK_ANSWER(&answers[0], DELIVERED_RETRY, "only 4 of 8 bytes fit");
	CHECK_ANSWER(&answers[1], DELIVERED_RETRY, "File too large");
	CHECK_FILE("r.jsonl", "{\"n\":1}\n");
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":2}"));
	CHECK_FILE("r.jsonl", "{\"n\":1}\n{\"n\":2}\n");
}

static void a_failed_sync_is_no_delivery(void)
{
	fresh();
	put_file("r.jsonl", "{\"n\":1}\n");
	disk.sync_errno = EIO;
	CHECK_ANSWER(deliver_to("r.jsonl", "{\"n\":2}"), DELIVERED_RETRY, "sync ");
	CHECK_ANSWER(&answers[0], DELIVERED_RETRY, "Input/output error");
	CHECK_FILE("r.jsonl", "{\"n\":1}\n");
	disk.truncate_errno = EPERM;
	CHECK_ANSWER(deliver_to("r.jsonl", "{\"n\":2}"), DELIVERED_RETRY, "cutting it back: Operation not permitted");
	disk_healthy();
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":2}"));
	/* Twice, as a reader must expect of a send whose end is in doubt. */
	CHECK_FILE("r.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":2}\n");
}

static void a_new_name_must_be_durable(void)
{
	fresh();
	disk.dir_sync_errno = EIO;
	CHECK_ANSWER(deliver_to("new.jsonl", "{}"), DELIVERED_RETRY, "Input/output error");
	disk.dir_sync_errno = 0;
	CHECK_ACK(deliver_to("new.jsonl", "{}"));
	CHECK_FILE("new.jsonl", "{}\n");
}

static void a_missing_directory_is_waited_for(void)
{
	fresh();
	CHECK_ANSWER(deliver_to("sub/r.jsonl", "{}"), DELIVERED_RETRY, "sub/r.jsonl: No such file or directory");
	CHECK(mkdir(path_of("sub"), 0755) == 0);
	CHECK_ACK(deliver_to("sub/r.jsonl", "{}"));
	CHECK_FILE("sub/r.jsonl", "{}\n");
}

static void what_is_no_file_is_never_tried_again(void)
{
	char name[280] = "";

	fresh();
	CHECK(mkdir(path_of("d"), 0755) == 0);
	CHECK(mkfifo(path_of("fifo"), 0600) == 0);
	CHECK_ANSWER(deliver_to("d", "{}"), DELIVERED_NEVER, "Is a directory");
	CHECK_ANSWER(deliver_to("fifo", "{}"), DELIVERED_NEVER, "is not a regular file");
	send_row("file:/dev/null", ROLE_ON_FAILURE, "{}", NULL);
	wait_for(3);
	CHECK_ANSWER(&answers[2], DELIVERED_NEVER, "/dev/null is not a regular file");
	snprintf(name, sizeof(name), "file:/tmp/%0256d", 0);	/* and the reason is not lost behind the name */
	send_row(name, ROLE_ON_FAILURE, "{}", NULL);
	wait_for(4);
	CHECK_ANSWER(&answers[3], DELIVERED_NEVER, "File name too long");
}

static void a_locked_file_is_not_waited_for(void)
{
	int fd;

	fresh();
	put_file("r.jsonl", "");
	fd = open(path_of("r.jsonl"), O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && flock(fd, LOCK_SH) == 0);
	CHECK_ANSWER(deliver_to("r.jsonl", "{}"), DELIVERED_RETRY, "locked by another process");
	CHECK_FILE("r.jsonl", "");
	close(fd);
	CHECK_ACK(deliver_to("r.jsonl", "{}"));
	CHECK_FILE("r.jsonl", "{}\n");
}

static void rotation_and_links_are_followed(void)
{
	fresh();
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":1}"));
	CHECK(rename(path_of("r.jsonl"), path_of("r.jsonl.1")) == 0);
	CHECK_ACK(deliver_to("r.jsonl", "{\"n\":2}"));
	CHECK_FILE("r.jsonl.1", "{\"n\":1}\n");
	CHECK_FILE("r.jsonl", "{\"n\":2}\n");
	CHECK(symlink(path_of("r.jsonl"), path_of("link")) == 0);
	CHECK_ACK(deliver_to("link", "{\"n\":3}"));
	CHECK_FILE("r.jsonl", "{\"n\":2}\n{\"n\":3}\n");
}

/* ---- the sender ---------------------------------------------------------------------------------------------- */

static void a_target_that_cannot_be_is_refused_by_the_loop(void)
{
	static const char *const targets[] = {
		"file:relative", "no such thing", "", "function:resize", "queue:done",
		"arn:aws:sqs:us-east-1:123456789012:theirs",
	};

	fresh();
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		send_row(targets[i], ROLE_ON_FAILURE, "{}", NULL);
	CHECK_INT(n_answers, 0);	/* never from within send(): delivered() aborts too */
	wait_for((int)ARRAY_SIZE(targets));
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		CHECK_INT(answers[i].seq, (int)i + 1);
		CHECK_INT(answers[i].how, DELIVERED_NEVER);
		if (!answers[i].why[0])
			FAIL("\"%s\" is refused without a reason", targets[i]);
	}
	CHECK_ANSWER(&answers[3], DELIVERED_NEVER, "cannot be sent to");
}

static void a_failure_is_said_with_its_request(void)
{
	fresh();
	said = 0;
	log_set_sink(hear);
	CHECK_ACK(deliver_to("r.jsonl", "{}"));
	CHECK_INT(said, 0);
	send_row("queue:done", ROLE_ON_SUCCESS, "{}", NULL);
	wait_for(2);
	log_set_sink(NULL);
	CHECK_INT(said, 1);
	CHECK_STR(said_ids, "3 thumbs " REQUEST " 3");
	CHECK(strstr(said_last, "delivery OnSuccess to queue:done: failed for good, kept: "));
}

static void the_table_has_what_can_be_sent_to(void)
{
	CHECK(dest_for(TARGET_FILE) == &dest_file);
	CHECK(dest_for(TARGET_JOURNAL) == &dest_journal);
	CHECK(!dest_for(TARGET_NONE) && !dest_for(TARGET_FUNCTION) && !dest_for(TARGET_QUEUE) && !dest_for(TARGET_NAME));
	CHECK(!dest_for(TARGET_REMOTE) && !dest_for((enum target_kind)-1) && !dest_for((enum target_kind)1000));
}

static void the_queue_is_bounded_and_keeps_its_order(void)
{
	CLEAN(buf_done) struct buf want = {};
	char body[32];
	int refused = 0, acked = 0;

	fresh();
	disk_gate(true);
	send_row(target_of("r.jsonl"), ROLE_ON_SUCCESS, "{\"n\":0}", NULL);
	disk_wait_for_a_sync();		/* the worker has it: the queue is empty */
	buf_adds(&want, "{\"n\":0}\n");
	for (int i = 1; i <= DELIVER_QUEUE_MAX + 2; i++) {
		snprintf(body, sizeof(body), "{\"n\":%d}", i);
		if (i <= DELIVER_QUEUE_MAX)
			buf_addf(&want, "%s\n", body);
		send_row(target_of("r.jsonl"), ROLE_ON_SUCCESS, body, NULL);
	}
	wait_for(2);
	CHECK_ANSWER(&answers[0], DELIVERED_RETRY, "256 deliveries are waiting");
	CHECK_ANSWER(&answers[1], DELIVERED_RETRY, "256 deliveries are waiting");
	CHECK_INT(answers[0].seq, DELIVER_QUEUE_MAX + 2);
	CHECK_INT(answers[1].seq, DELIVER_QUEUE_MAX + 3);
	disk_gate(false);
	wait_for(DELIVER_QUEUE_MAX + 3);
	for (int i = 0; i < n_answers; i++) {
		refused += answers[i].how == DELIVERED_RETRY;
		acked += answers[i].how == DELIVERED_ACK;
		CHECK(i < 2 || answers[i].seq == i - 1);
	}
	CHECK_INT(refused, 2);
	CHECK_INT(acked, DELIVER_QUEUE_MAX + 1);
	CHECK_FILE("r.jsonl", buf_str(&want));
}

static void one_that_waits_does_not_stop_the_loop_answering(void)
{
	fresh();
	disk_gate(true);
	send_row(target_of("r.jsonl"), ROLE_ON_SUCCESS, "{}", NULL);
	disk_wait_for_a_sync();
	send_row("no such thing", ROLE_ON_FAILURE, "{}", NULL);
	wait_for(1);
	CHECK_INT(answers[0].seq, 2);
	disk_gate(false);
	wait_for(2);
	CHECK_INT(answers[1].seq, 1);
	CHECK_ACK(&answers[1]);
}

static void the_sink_may_send_again(void)
{
	fresh();
	again = 3;
	send_row(big_path, ROLE_ON_SUCCESS, "{\"first\":true}", NULL);
	wait_for(4);
	CHECK_FILE("again.jsonl", "{\"first\":true}\n{\"again\":true}\n{\"again\":true}\n{\"again\":true}\n");
}

static void blobs_are_given_back(void)
{
	struct store_op_outbox row = { .seq = 1, .role = ROLE_ON_SUCCESS, .body = blob_new("{}", 2),
				       .attributes = blob_new("{}", 2) };

	fresh();
	disk_gate(true);
	snprintf(row.target, sizeof(row.target), "%s", target_of("r.jsonl"));
	port->ops->send(port, &row);
	disk_wait_for_a_sync();
	CHECK_INT(__atomic_load_n(&row.body->refs, __ATOMIC_SEQ_CST), 2);
	memset(row.target, 'x', sizeof(row.target));	/* the row was copied */
	disk_gate(false);
	wait_for(1);
	CHECK_ACK(&answers[0]);
	CHECK_INT(row.body->refs, 1);
	CHECK_INT(row.attributes->refs, 1);
	blob_unref(row.body);
	blob_unref(row.attributes);
}

static void *open_the_gate(void *arg)
{
	disk_gate(false);
	return NULL;
}

static void the_end_drops_what_waits(void)
{
	pthread_t t;

	fresh();
	disk_gate(true);
	send_row(target_of("r.jsonl"), ROLE_ON_SUCCESS, "{\"n\":1}", NULL);
	disk_wait_for_a_sync();
	send_row(target_of("other.jsonl"), ROLE_ON_SUCCESS, "{\"n\":2}", NULL);
	send_row("no such thing", ROLE_ON_SUCCESS, "{\"n\":3}", NULL);
	/* Whether the worker takes the second one before it hears of the end is left open: nobody is told of either. */
	CHECK(pthread_create(&t, NULL, open_the_gate, NULL) == 0);
	port = deliver_free(port);
	pthread_join(t, NULL);
	CHECK_INT(n_answers, 0);
	CHECK_FILE("r.jsonl", "{\"n\":1}\n");
	CHECK(sd_event_run(loop, 0) >= 0);
	CHECK_INT(n_answers, 0);
	CHECK(!deliver_free(NULL));
}

int main(void)
{
	RUN(a_record_is_a_line);
	RUN(it_is_synced_before_the_answer);
	RUN(line_breaks_become_blanks);
	RUN(an_empty_body_is_an_empty_object);
	RUN(a_dead_letter_keeps_its_attributes);
	RUN(a_large_record_arrives_whole);
	RUN(a_torn_line_spoils_no_other);
	RUN(what_does_not_fit_is_cut_back);
	RUN(a_failed_sync_is_no_delivery);
	RUN(a_new_name_must_be_durable);
	RUN(a_missing_directory_is_waited_for);
	RUN(what_is_no_file_is_never_tried_again);
	RUN(a_locked_file_is_not_waited_for);
	RUN(rotation_and_links_are_followed);
	RUN(a_target_that_cannot_be_is_refused_by_the_loop);
	RUN(a_failure_is_said_with_its_request);
	RUN(the_table_has_what_can_be_sent_to);
	RUN(the_queue_is_bounded_and_keeps_its_order);
	RUN(one_that_waits_does_not_stop_the_loop_answering);
	RUN(the_sink_may_send_again);
	RUN(blobs_are_given_back);
	RUN(the_end_drops_what_waits);
	clear();
	TEST_END();
}
