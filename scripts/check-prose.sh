#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-prose.sh FILE...: find constructions that are hard to read in comments and
# documents. Prints FILE:LINE, the advice and the line; prints nothing if there are none.
#
# Each row of the table has a regular expression (grep -E), the advice, and a sentence that
# the expression must find. A row that does not find its sentence is reported, too, so the
# check cannot pass because of a broken expression. Add only expressions with next to no
# false alarms.
set -euo pipefail

rows()
{
	cat <<-'END'
	\b(is|are|was|were|be|been|being|not|yet) told\b | name who reports it: "returns", "reports", "sets" | A failure is not told.
	\b[Tt]old (of|apart|about|to)\b | say "notified", "distinguished", "configured" | Others are told of, too.
	\b[Tt]ells? (of|apart|about|how|what|which|whether|who|where)\b | say "returns", "reports", "shows" | It tells which user has it.
	\b([Ii]s|[Aa]re|[Ww]as|[Ww]ere|[Bb]een|[Nn]ot|[Aa]s) said\b | say where it is documented, or drop it | Unless something else is said.
	(^|[.;:*#] +)(Who|Whose)\b | name the subject: the task, the process, the user, the caller | Who waits for a unit holds no lock.
	\b([Ww]hoever|[Ss]omebody|[Nn]obody)\b([^:]|$) | name the subject: the task, the process, the user, the caller | The lock of whoever changes it.
	\b(by|of|for|from|to|with|than|as) who\b | name the person: "the task that", "the user who" | Charged to who has released it.
	(^|[.;:*#] +)What (is|was|has|it|they|comes|goes|lies|must|needs)\b | make the thing the subject: "Memory that is ..." | What is written is tracked.
	\bbehind (the|a|an|it|its|them|their|that|which|what|each|all|every)\b | say "after", "beyond", "below" | The address behind the last.
	\b(be|is|are|was|were) had\b | say "available", "allocated", "opened" | Memory that cannot be had.
	\b[Cc](ome|omes|ame|oming) (again|back)\b | say "retry", "restart", "return" | The caller has to come again.
	\b([Gg]o|[Gg]oes|[Ww]ent|[Gg]one|[Gg]oing) back\b | say "return", "is freed" | The unit goes back to the pool.
	\b[Pp]ut off\b | say "delayed", "postponed" | How often that was put off.
	\bfor good\b | say "permanently", "from then on" | It loses it for good.
	\bnow and then\b | say "periodically" | A worker looks now and then.
	\b[Ll]ook(s|ed|ing)? after\b | say "manage", "maintain" | It looks after the pool.
	\bknows? nothing of\b | say "unmodified", "does not use" | A program that knows nothing of som.
	\b([Ii]s|[Aa]re) not to\b | say "must not" | The notifier is not to mind.
	\b[Tt]he opposite of\b | name the effect: "Undo ..." | som_x - the opposite of som_y
	^ \* ((struct|enum|union|define|typedef) )?[A-Za-z_0-9]+(\(\))? - .*\?$ | begin the summary with a verb: "Return whether ..." | \x20* som_x - is it there?
	\b[Hh]eirs?\b | the word is "child" | An heir copies it.
	\b(un)?[Pp]innable\b | the word is "page-backed" | Make memory pinnable.
	\b([Pp]romise|[Pp]romised|[Pp]romises)\b | the word is "reserve", "reservation" | Units that are promised.
	END
}

[ $# -gt 0 ] || { echo 'usage: check-prose.sh FILE...' >&2; exit 2; }
bad=0
while IFS= read -r row; do
	# Alternatives in an expression have no spaces around the bar.
	expression=${row%% | *}
	row=${row#* | }
	advice=${row%% | *}
	sentence=${row#* | }
	if ! printf '%b\n' "$sentence" | grep -qE -e "$expression"; then
		printf '%s: does not find its sentence: %s\n' "$0" "$expression"
		bad=1
	fi
	while IFS= read -r hit; do
		[[ $hit =~ ^([^:]*:[0-9]+):(.*)$ ]]
		printf '%s: %s: %s\n' "${BASH_REMATCH[1]}" "$advice" "${BASH_REMATCH[2]}"
		bad=1
	done < <(grep -nHE -e "$expression" -- "$@")
done < <(rows)
exit "$bad"
