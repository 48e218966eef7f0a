/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions and aliases: what $LATEST was when somebody said "publish", under a number that never comes again, and names
 * for such numbers. Both are rows first (I1's rule, for wishes); the registry follows when they are durable, so no event is
 * ever accepted for a version that a crash would take back.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

/* A definition that was good once, and is read again: problems mean that today's rules are stricter. */
static struct func *func_again(const struct store_op_version *v, struct err *err)
{
	struct func_problems problems = {};
	struct func *f = NULL;
	int r;

	if (!v->definition) {
		err_set(err, -EBADMSG, "version %d of %s has no definition", v->version, v->function);
		return NULL;
	}
	r = func_parse(v->definition->data, v->definition->len, &f, &problems);
	if (r < 0 || strcmp(f->name, v->function) != 0)
		err_set(err, -EBADMSG, "version %d of %s cannot be read any more: %.64s: %.128s", v->version, v->function,
			problems.n ? problems.list[0].path : "$.FunctionName",
			problems.n ? problems.list[0].reason : "is another one's");
	else
		r = 1;
	func_problems_done(&problems);
	if (r != 1)
		return func_unref(f);
	f->version = v->version;
	f->published_at_ms = v->at_ms;
	f->published_as = v->description ? xstrdup(v->description) : NULL;
	return f;
}

int publish_load(struct engine *e, const struct store_op_version *v, struct err *err)
{
	struct func *f = func_again(v, err);

	if (!f) {
		if (v->version > 0 && strlen(v->function) <= LIM_FUNCTION_NAME_MAX)
			registry_version_taken(e->registry, v->function, v->version);
		return -EBADMSG;
	}
	registry_publish(e->registry, f);
	func_unref(f);
	return 0;
}

static bool same_text(const struct blob *a, const struct blob *b)
{
	return a && b && a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Published, or about to be: their rows are in a batch that has not landed. */
static int newest(struct engine *e, const char *function, struct blob **ret_source)
{
	struct func *const *list;
	size_t n = registry_versions(e->registry, function, &list);
	int version = registry_last_version(e->registry, function);

	*ret_source = n && list[n - 1]->version == version ? list[n - 1]->source : NULL;
	for (const struct after *a = NULL; (a = batch_next_after(e, a)); )
		if (a->kind == AFTER_PUBLISHED && a->func && strcmp(a->func->name, function) == 0) {
			version = a->func->version;
			*ret_source = a->func->source;
		}
	return version;
}

static struct after *published(struct engine *e, struct wish *wish, int status)
{
	struct after *a = batch_after(e, AFTER_PUBLISHED, NULL, NULL, 0);

	a->waiter = TAKE(wish->w);
	a->status = status;
	return a;
}

static void reply_version(struct engine *e, struct waiter *w, int status, int version)
{
	struct intake_reply r = { .status = status, .version = version, .request_id = "" };

	map_del(&e->waits, w->handle);
	if (w->reply)
		w->reply(w->arg, &r);
	free(w);
}

static void publish(struct engine *e, struct wish *wish)
{
	struct func *latest = registry_get(e->registry, wish->function), *f;
	struct store_op_version v = { .at_ms = now_wall(e), .description = wish->description };
	struct blob *source;
	struct store_op *op;
	struct err err = {};

	if (!latest)
		return answer_about(e, TAKE(wish->w), "", 404, "The function is not defined");
	v.version = newest(e, wish->function, &source);
	if (v.version && same_text(latest->source, source)) {	/* as Lambda: nothing new, no new version */
		/* When it is durable: it may have been published in this very turn. */
		published(e, wish, 201)->seq = v.version;
		return;
	}
	if (v.version >= LIM_VERSION_MAX)
		return answer_about(e, TAKE(wish->w), "", 409, "The function has no version numbers left");
	v.version++;
	snprintf(v.function, sizeof(v.function), "%s", wish->function);
	v.definition = latest->source;
	f = func_again(&v, &err);
	if (!f)
		return answer_about(e, TAKE(wish->w), "", 409, err_msg(&err));
	op = batch_op(e, STORE_OP_VERSION_PUT);
	op->version = v;
	op->version.description = TAKE(wish->description);
	op->version.definition = blob_ref(v.definition);
	published(e, wish, 201)->func = f;
}

/* As it will be when what is under way is durable; NULL = it is not there then. */
static struct alias *alias_soon(struct engine *e, const char *function, const char *name)
{
	struct alias *now = registry_alias(e->registry, function, name);

	for (const struct after *a = NULL; (a = batch_next_after(e, a)); ) {
		const struct alias *one = a->alias ? a->alias : a->gone;

		if (a->kind == AFTER_PUBLISHED && one && strcmp(one->function, function) == 0 && strcmp(one->name, name) == 0)
			now = a->alias;
	}
	return now;
}

static void alias_set(struct engine *e, struct wish *wish)
{
	struct alias *a = wish->alias;
	const struct alias *was = alias_soon(e, a->function, a->name);
	bool there = was;
	struct store_op *op;

	if (!registry_version(e->registry, a->function, a->version) ||
	    (a->other && !registry_version(e->registry, a->function, a->other)))
		return answer_about(e, TAKE(wish->w), "", 404, "The function, or the version, is not there");
	if (there != wish->must_exist)
		return answer_about(e, TAKE(wish->w), "", there ? 409 : 404,
				    there ? "The alias exists already" : "There is no such alias");
	if (there && wish->revision[0] && strcmp(wish->revision, was->revision) != 0)
		return answer_about(e, TAKE(wish->w), "", 409, "The alias was changed by somebody else at the same time");
	op = batch_op(e, STORE_OP_ALIAS_PUT);
	memcpy(op->alias.function, a->function, sizeof(op->alias.function));
	memcpy(op->alias.name, a->name, sizeof(op->alias.name));
	op->alias.body = alias_write(a);
	published(e, wish, there ? 200 : 201)->alias = TAKE(wish->alias);
}

static void alias_del(struct engine *e, struct wish *wish)
{
	struct alias *a = alias_soon(e, wish->function, wish->name);
	struct store_op *op;

	if (!a)
		return (void)published(e, wish, 204);
	op = batch_op(e, STORE_OP_ALIAS_DEL);
	memcpy(op->alias.function, wish->function, sizeof(op->alias.function));
	memcpy(op->alias.name, wish->name, sizeof(op->alias.name));
	published(e, wish, 204)->gone = alias_ref(a);
}

void publish_wish(struct engine *e, struct wish *wish)
{
	switch (wish->kind) {
	case WISH_PUBLISH:
		publish(e, wish);
		break;
	case WISH_ALIAS_SET:
		alias_set(e, wish);
		break;
	case WISH_ALIAS_DEL:
		alias_del(e, wish);
		break;
	case WISH_DELIVERY:
		assert(!"not about what is published");
		break;
	}
}

void publish_durable(struct engine *e, const struct after *a)
{
	int version = a->func ? a->func->version : (int)a->seq;

	if (a->func) {
		registry_publish(e->registry, a->func);
		func_unref(a->func);
	}
	if (a->alias) {
		registry_alias_set(e->registry, a->alias);
		alias_unref(a->alias);
	}
	if (a->gone) {
		registry_alias_del(e->registry, a->gone->function, a->gone->name);
		alias_unref(a->gone);
	}
	if (a->waiter)
		reply_version(e, a->waiter, a->status, version);
}
