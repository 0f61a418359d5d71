#!/bin/sh
# verify.sh PROGRAM CASE...
#	  Has one of the guide's verifiers judge requests (test/perl/Judge.pm says
#	  what a case is, and what is printed).
#
# test/languages/verify.sh
program=$1
shift
for dir; do
	now=$(cat "$dir/now")
	WEBHOOK_SECRET=$(cat "$dir/secrets")
	export WEBHOOK_SECRET
	case $program in
	*header.sh) said=$(sh "$program" "$(cat "$dir/id")" "$(cat "$dir/timestamp")" \
		"$(cat "$dir/signature")" "$dir/body" "$now" 2>&1) ;;
	*) said=$(sh "$program" "$dir/body" "$now" 2>&1) ;;
	esac
	if [ "$said" = valid ]; then echo valid; else echo "refused: $said"; fi
done
