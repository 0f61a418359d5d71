#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/site.sh
#	  Renders the documentation to static pages with search: `make site`, into
#	  check-output/site.
#
# The pages are the README, the other .md files beside it, and those of docs; and
# whatever they link to, so that no link leads out of the site: sources, as they are, and
# the READMEs of their folders.  Nothing is written for the site, except one page that
# is made of what the catalog has: each COMMENT, signature and setting of the
# extension, as a server with it says.
#
# Debian's mkdocs does the rendering, by scripts/site/mkdocs.yml.  At the end each
# link of each page is followed, anchors included, and each page is read in Chromium as on
# a phone and as on a desk.  A link that leads nowhere fails it, and so do a page that is wider
# than its window and a search that does not find.
#
#-------------------------------------------------------------------------
set -euo pipefail
. scripts/common.sh
. demo/common.sh

: "${KGW_OUTPUT:?run me by way of make site}"
pages=$KGW_SCRATCH/pages
site=$KGW_OUTPUT/site

step "Building the extension, and a server that has it"
build
new_server server <<'CONF'
shared_preload_libraries = 'kgwebhook'
CONF
at server -c "SET client_min_messages = warning" -c "CREATE EXTENSION kgwebhook CASCADE"

step "Collecting pages"
scripts/site/collect.py "$pages"
at server -At -f scripts/site/catalog.sql >"$pages/docs/catalog.md"
stop_all
trap - EXIT

step "Rendering"
cp scripts/site/mkdocs.yml scripts/site/hooks.py "$KGW_SCRATCH"
cp scripts/site/site.css "$pages/site.css"
mkdocs build --quiet --strict --config-file "$KGW_SCRATCH/mkdocs.yml" --site-dir "$site"

step "Following the links"
scripts/site/check.py "$site"

step "Reading it in Chromium"
if command -v chromium >/dev/null; then
	node scripts/site/look.mjs "$site" "$KGW_SCRATCH"
else
	say "There is no Chromium here: nobody has looked at the pages."
fi
say "The site is in check-output/site.  To read it:" \
	"    python3 -m http.server --bind 127.0.0.1 --directory check-output/site 8000"
