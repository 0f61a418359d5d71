#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# test/prose/check.sh
#	  Fails where a word of words.txt has come back, anywhere a person reads:
#	  documentation, comments, messages, COMMENTs, alerts, the delivery page.
#
# Prints each hit with what to write instead.  Only whole words count, and only
# in files that git knows or would know; the list itself and recorded inputs
# (package locks, fuzz corpora, the license) are no prose of ours.
#
# test/prose/check.sh
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$(dirname "$0")/../.."

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	mapfile -t files < <(git ls-files --cached --others --exclude-standard)
else
	mapfile -t files < <(find . -type f -printf '%P\n')
fi

prose=()
for file in "${files[@]}"; do
	[ -f "$file" ] || continue
	case $file in
		test/prose/words.txt|LICENSE|*.png|*package-lock.json|test/fuzz/corpus/*) ;;
		*/node_modules/*|test/monitoring/tools/*|*/build/*|check-output/*|matrix-output/*) ;;
		*.o|*.d|*.so|*.inc) ;;
		*) prose+=("$file") ;;
	esac
done

status=0
while IFS=$'\t' read -r words instead; do
	case $words in ''|'#'*) continue ;; esac
	if hits=$(grep -HnIiwE "$words" "${prose[@]}"); then
		printf '%s\n\tinstead: %s\n' "$hits" "$instead"
		status=1
	fi
done <test/prose/words.txt
exit "$status"
