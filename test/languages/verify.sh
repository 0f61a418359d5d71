#!/bin/sh
# verify.sh PROGRAM CASE...
#	  Has one of the guide's verifiers judge requests (test/perl/Judge.pm says
#	  what a case is, and what is printed).  They take one secret, so each is
#	  tried until one fits.
#
# `date` has to be one that prints KGW_NOW.
#
# test/languages/verify.sh
program=$1
shift
for dir; do
	KGW_NOW=$(cat "$dir/now")
	export KGW_NOW
	for WEBHOOK_SECRET in $(cat "$dir/secrets"); do
		export WEBHOOK_SECRET
		case $program in
		*header.sh) said=$(sh "$program" "$(cat "$dir/id")" "$(cat "$dir/timestamp")" \
			"$(cat "$dir/signature")" "$dir/body" 2>&1) ;;
		*) said=$(sh "$program" "$dir/body" 2>&1) ;;
		esac
		if [ "$said" != "wrong signature" ]; then break; fi
	done
	if [ "$said" = valid ]; then echo valid; else echo "refused: $said"; fi
done
