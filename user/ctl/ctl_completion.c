/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion scripts, made from the verb table, so that a new row completes without anybody thinking of it.
 *
 * What the table says in words for people is read here: of "NAME [--payload FILE|-] [--state STATE]" the words in
 * capitals are places, and a place's name says what goes there:
 *
 *   NAME FUNCTION   a function (a queue, for the verbs of queue)   QUEUE   a queue     VERB        a verb
 *   TOPIC           a topic                                        BUS     an event bus
 *   FILE PATH DIR   a file                                         a|b     these words
 *   others          what details list as "STATE: queued, running, done.", else nothing we can know
 *
 * Both scripts hold the table as a shell function, _fatectl_row, that sets opts ("--async --payload=file") and places
 * ("function"); how a shell is served is text that does not change. Names of functions and queues are asked for when
 * the key is pressed, without jq and with a time limit; only letters that names may have get through.
 */
#include <ctype.h>
#include <string.h>

#include "ctl/ctl.h"

#define GLOBAL_OPTIONS "--json --help --socket=file"

static bool is_word(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(s, word, n) == 0;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* "PLACE: one, two, three." at the beginning of a line of details: ":one,two,three". */
static bool add_listed(struct buf *b, const char *details, const char *place, size_t len)
{
	for (const char *p = details; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t mark = b->len, n;

		if (strncmp(p, place, len) != 0 || strncmp(p + len, ": ", 2) != 0)
			continue;
		buf_addc(b, ':');
		for (p += len + 2;; p += 2) {
			for (n = 0; is_name_char(p[n]);)
				n++;
			buf_add(b, p, n);
			p += n;
			if (n == 0 || strncmp(p, ", ", 2) != 0)
				break;
			buf_addc(b, ',');
		}
		if (n && *p == '.')
			return true;
		b->len = mark;		/* prose */
		b->data[mark] = '\0';
	}
	return false;
}

/* What goes where `place` stands. */
static void add_kind(struct buf *b, const struct ctl_verb *v, const char *place, size_t len)
{
	size_t n = strcspn(place, "|");

	if (islower((unsigned char)*place)) {	/* words to choose from */
		buf_addc(b, ':');
		for (size_t i = 0; i < len; i++)
			buf_addc(b, place[i] == '|' ? ',' : place[i]);
		return;
	}
	n = MIN(n, len);
	if (is_word(place, n, "QUEUE") || (is_word(place, n, "NAME") && strncmp(v->name, "queue ", 6) == 0))
		buf_adds(b, "queue");
	else if (is_word(place, n, "NAME") || is_word(place, n, "FUNCTION"))
		buf_adds(b, "function");
	else if (is_word(place, n, "TOPIC"))
		buf_adds(b, "topic");
	else if (is_word(place, n, "BUS"))
		buf_adds(b, "bus");
	else if (is_word(place, n, "FILE") || is_word(place, n, "PATH") || is_word(place, n, "DIR"))
		buf_adds(b, "file");
	else if (is_word(place, n, "VERB"))
		buf_adds(b, "first second");
	else
		(void)add_listed(b, v->details, place, n);
}

/* The next word of args without brackets and "..."; *ret_last: its bracket closes behind it. */
static const char *next_word(const char **args, size_t *ret_len, bool *ret_last)
{
	const char *p = *args + strspn(*args, " [("), *end = p + strcspn(p, " ");

	*args = end;
	*ret_last = false;
	while (end > p && strchr("])", end[-1])) {
		*ret_last = true;
		end--;
	}
	while (end > p && end[-1] == '.')
		end--;
	*ret_len = (size_t)(end - p);
	return *ret_len ? p : NULL;
}

static void row(struct buf *b, const struct ctl_verb *v)
{
	CLEAN(buf_done) struct buf places = {};
	const char *args = v->args, *w;
	bool last, dangling = false;		/* an option's name came, and its bracket did not close */
	size_t n;

	buf_addf(b, "\t'%s') opts='" GLOBAL_OPTIONS, v->name);
	while ((w = next_word(&args, &n, &last))) {
		const char *eq = memchr(w, '=', n);

		if (n == 1 && *w == '|') {
			dangling = false;
		} else if (*w == '-' && eq && eq[-1] == '[') {	/* "--watch[=SECONDS]": does well without, and has no next word */
			buf_addf(b, " %.*s", (int)(eq - 1 - w), w);
		} else if (*w == '-' && eq) {
			buf_addf(b, " %.*s", (int)(eq + 1 - w), w);
			add_kind(b, v, eq + 1, n - (size_t)(eq + 1 - w));
		} else if (*w == '-') {
			for (size_t i = 0; i < n; i++)		/* "--sync|--async" */
				if (i == 0 || w[i - 1] == '|')
					buf_addf(b, " %.*s", (int)MIN(strcspn(w + i, "|"), n - i), w + i);
			dangling = !last;
		} else if (dangling) {
			buf_addc(b, '=');
			add_kind(b, v, w, n);
			dangling = false;
		} else {
			size_t mark;

			buf_adds(&places, places.len ? " " : "");
			mark = places.len;
			add_kind(&places, v, w, n);
			if (places.len == mark)
				buf_adds(&places, "none");	/* holds its place */
		}
	}
	buf_addf(b, "' places='%s' ;;\n", buf_str(&places));
}

/* The words that come first, or second after `first`, each once. */
static void words(struct buf *b, const char *first)
{
	size_t len = first ? strlen(first) : 0, mark = b->len;

	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		const char *w = v->name;
		size_t n;
		bool seen = false;

		if (first && (strncmp(w, first, len) != 0 || w[len] != ' '))
			continue;
		w += first ? len + 1 : 0;
		n = strcspn(w, " ");
		for (const struct ctl_verb *u = ctl_verbs; !first && u < v; u++)
			seen |= strncmp(u->name, w, n) == 0 && (u->name[n] == ' ' || !u->name[n]);
		if (!seen)
			buf_addf(b, "%s%.*s", b->len > mark ? " " : "", (int)n, w);
	}
}

static void table(struct buf *b)
{
	CLEAN(buf_done) struct buf firsts = {};
	char *save = NULL;

	words(&firsts, NULL);
	buf_addf(b, "_fatectl_first='%s'\n"
		 "# What comes after a verb's first word.\n"
		 "_fatectl_second() {\n\tcase $1 in\n", buf_str(&firsts));
	for (char *w = strtok_r(firsts.data, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		CLEAN(buf_done) struct buf seconds = {};

		words(&seconds, w);
		if (seconds.len)
			buf_addf(b, "\t%s) second='%s' ;;\n", w, buf_str(&seconds));
	}
	buf_adds(b, "\t*) second= ;;\n\tesac\n}\n"
		 "# Options and places of a verb; 1 when there is no such verb.\n"
		 "_fatectl_row() {\n\tcase $1 in\n");
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++)
		row(b, v);
	buf_adds(b, "\t*) opts='" GLOBAL_OPTIONS "' places=; return 1 ;;\n\tesac\n}\n"
		 "# The values of a member in what fatectl lists: MEMBER VERB...\n"
		 "_fatectl_names() {\n"
		 "\tlocal member=$1\n"
		 "\tshift\n"
		 "\ttimeout 2 \"$command\" \"${socket[@]}\" \"$@\" --json 2>/dev/null </dev/null |\n"
		 "\t\tgrep -o \"\\\"$member\\\":\\\"[A-Za-z0-9_-]*\\\"\" | cut -d'\"' -f4\n"
		 "}\n");
}

static const char bash_text[] =
	"_fatectl() {\n"
	"\tlocal command=${1/#\\~/$HOME} cur=${COMP_WORDS[COMP_CWORD]} first= verb= want= last= kind= list= n=0 i o word\n"
	"\tlocal opts places second\n"
	"\tlocal -a socket=() p=()\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif [[ $word == '=' ]]; then\n"
	"\t\t\tcontinue\t# bash takes --limit=1 for three words; so they mean the same as --limit 1\n"
	"\t\telif [[ $want ]]; then\n"
	"\t\t\t[[ $want == --socket ]] && socket=(--socket \"${word/#\\~/$HOME}\")\n"
	"\t\t\twant=\n"
	"\t\telif [[ $word == -* ]]; then\n"
	"\t\t\t_fatectl_row \"$verb\"\n"
	"\t\t\tfor o in $opts; do [[ $o == \"$word=\"* ]] && want=$word; done\n"
	"\t\telif [[ ! $first ]]; then\n"
	"\t\t\tfirst=$word\n"
	"\t\t\t_fatectl_row \"$word\" && verb=$word\n"
	"\t\telif ((n == 0)) && [[ $verb != *' '* ]] && _fatectl_row \"$first $word\"; then\n"
	"\t\t\tverb=\"$first $word\"\n"
	"\t\telse\n"
	"\t\t\tlast=$word n=$((n + 1))\n"
	"\t\tfi\n"
	"\tdone\n"
	"\t[[ $cur == '=' ]] && cur=\n"
	"\t_fatectl_row \"$verb\"\n"
	"\tif [[ $want ]]; then\n"
	"\t\tfor o in $opts; do [[ $o == \"$want=\"* ]] && kind=${o#*=}; done\n"
	"\telif [[ $cur == -* ]]; then\n"
	"\t\tfor o in $opts; do list+=\" ${o%%=*}\"; done\n"
	"\telif [[ ! $first ]]; then\n"
	"\t\tkind=first\n"
	"\telse\n"
	"\t\tif ((n == 0)) && [[ $verb != *' '* ]]; then _fatectl_second \"$first\"; list=$second; fi\n"
	"\t\tp=($places)\n"
	"\t\tkind=${p[n]}\n"
	"\tfi\n"
	"\tCOMPREPLY=()\n"
	"\tcase $kind in\n"
	"\tfunction) list+=\" $(_fatectl_names FunctionName function list)\" ;;\n"
	"\tqueue) list+=\" $(_fatectl_names name queue list)\" ;;\n"
	"\ttopic) list+=\" $(_fatectl_names TopicName topic list)\" ;;\n"
	"\tbus) list+=\" $(_fatectl_names EventBusName bus list)\" ;;\n"
	"\tfirst) list=$_fatectl_first ;;\n"
	"\tsecond) _fatectl_second \"$last\"; list=$second ;;\n"
	"\t:*) kind=${kind#:} list+=\" ${kind//,/ }\" ;;\n"
	"\tfile) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n"
	"\tesac\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$list\" -- \"$cur\")\n"
	"}\n"
	"complete -F _fatectl fatectl\n";

static const char zsh_text[] =
	"_fatectl() {\n"
	"\tlocal command=${words[1]/#\\~/$HOME} cur=$words[CURRENT] first= verb= want= last= kind= n=0 i o word\n"
	"\tlocal opts places second\n"
	"\tlocal -a socket p list\n"
	"\tfor ((i = 2; i < CURRENT; i++)); do\n"
	"\t\tword=$words[i]\n"
	"\t\tif [[ -n $want ]]; then\n"
	"\t\t\t[[ $want == --socket ]] && socket=(--socket \"${(Q)word/#\\~/$HOME}\")\n"
	"\t\t\twant=\n"
	"\t\telif [[ $word == --socket=* ]]; then\n"
	"\t\t\tsocket=(\"${(Q)word}\")\n"
	"\t\telif [[ $word == -* ]]; then\n"
	"\t\t\t_fatectl_row \"$verb\"\n"
	"\t\t\tfor o in ${=opts}; do [[ $o == \"$word=\"* ]] && want=$word; done\n"
	"\t\telif [[ -z $first ]]; then\n"
	"\t\t\tfirst=$word\n"
	"\t\t\t_fatectl_row \"$word\" && verb=$word\n"
	"\t\telif ((n == 0)) && [[ $verb != *' '* ]] && _fatectl_row \"$first $word\"; then\n"
	"\t\t\tverb=\"$first $word\"\n"
	"\t\telse\n"
	"\t\t\tlast=$word n=$((n + 1))\n"
	"\t\tfi\n"
	"\tdone\n"
	"\t_fatectl_row \"$verb\"\n"
	"\tif [[ -z $want && $cur == --*=* ]]; then\n"
	"\t\twant=${cur%%=*}\n"
	"\t\tcompset -P '*='\n"
	"\tfi\n"
	"\tif [[ -n $want ]]; then\n"
	"\t\tfor o in ${=opts}; do [[ $o == \"$want=\"* ]] && kind=${o#*=}; done\n"
	"\telif [[ $cur == -* ]]; then\n"
	"\t\tfor o in ${=opts}; do list+=(${o%%=*}); done\n"
	"\telif [[ -z $first ]]; then\n"
	"\t\tkind=first\n"
	"\telse\n"
	"\t\tif ((n == 0)) && [[ $verb != *' '* ]]; then _fatectl_second \"$first\"; list=(${=second}); fi\n"
	"\t\tp=(${=places})\n"
	"\t\tkind=$p[n+1]\n"
	"\tfi\n"
	"\tcase $kind in\n"
	"\tfunction) list+=($(_fatectl_names FunctionName function list)) ;;\n"
	"\tqueue) list+=($(_fatectl_names name queue list)) ;;\n"
	"\ttopic) list+=($(_fatectl_names TopicName topic list)) ;;\n"
	"\tbus) list+=($(_fatectl_names EventBusName bus list)) ;;\n"
	"\tfirst) list=(${=_fatectl_first}) ;;\n"
	"\tsecond) _fatectl_second \"$last\"; list=(${=second}) ;;\n"
	"\t:*) list+=(${(s:,:)kind#:}) ;;\n"
	"\tfile) _files; return ;;\n"
	"\tesac\n"
	"\tcompadd -- $list\n"
	"}\n"
	"# Found in fpath it is called at once, sourced it makes itself known.\n"
	"if [[ $funcstack[1] == _fatectl ]]; then _fatectl \"$@\"; else compdef _fatectl fatectl; fi\n";

int ctl_completion(struct ctl *c, int argc, char **argv)
{
	CLEAN(buf_done) struct buf b = {};
	const char *shell;
	bool zsh;

	if (!ctl_args(c, argc, argv, NULL, 0, &shell, 1))
		return CTL_USAGE;
	zsh = strcmp(shell, "zsh") == 0;
	if (!zsh && strcmp(shell, "bash") != 0)
		return ctl_usage(c, "no completion for '%s'", shell);
	buf_addf(&b, "%s# Completion of fatectl for %s; made by: fatectl completion %s\n", zsh ? "#compdef fatectl\n" : "",
		 shell, shell);
	table(&b);
	buf_adds(&b, zsh ? zsh_text : bash_text);
	ctl_puts_raw(b.data, b.len, false);
	return CTL_OK;
}
