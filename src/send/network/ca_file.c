/*-------------------------------------------------------------------------
 *
 * ca_file.c
 *	  Whose certificates are believed: a file of authorities, as it was at the
 *	  last reload.
 *
 * libcurl tells one trust from another by the file's name alone.  Kept-alive
 * connections, TLS sessions (whose resumption verifies nothing again) and the
 * authorities it has parsed are all kept under that name, the last for a day.
 * An authority taken out of the file would still vouch for receivers.
 *
 * So when a reload finds another file under the name, libcurl is given another
 * spelling of the same path: "/etc/ssl/./ca.pem", then "/etc/ssl//./ca.pem", and
 * so on.  To libcurl that is another trust, and nothing that was made under the
 * old one fits a new request.  What is in flight ends as it began.  Giving it the
 * contents instead of a name would need no such trick, but then they are parsed
 * for each handshake, and copied for each connection.
 *
 * A file is another one when its device, inode, size, or times of change differ.
 *
 * src/send/network/ca_file.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "pg/guc.h"
#include "send/network/ca_file.h"

typedef struct KgwFileState
{
	bool		known;			/* false: there is none, or it can't be read */
	dev_t		device;
	ino_t		inode;
	off_t		size;
	struct timespec modified;
	struct timespec changed;
} KgwFileState;

static char looked_at[MAXPGPATH];
static KgwFileState seen;
static bool alone;				/* no folder is believed beside the file */
static uint32 generation;
static char spelled[MAXPGPATH + 64];

/* The file that is meant; NULL when libcurl has none by default. */
static const char *
meant(void)
{
	if (kgw_settings.ca_file[0] != '\0')
		return kgw_settings.ca_file;
	return curl_version_info(CURLVERSION_NOW)->cainfo;
}

static KgwFileState
state_of(const char *path)
{
	KgwFileState state = {0};
	struct stat st;

	if (access(path, R_OK) != 0 || stat(path, &st) != 0)
		return state;
	state.known = true;
	state.device = st.st_dev;
	state.inode = st.st_ino;
	state.size = st.st_size;
	state.modified = st.st_mtim;
	state.changed = st.st_ctim;
	return state;
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
same_state(const KgwFileState *a, const KgwFileState *b)
{
	return a->known == b->known && a->device == b->device &&
		a->inode == b->inode && a->size == b->size &&
		same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

/*
 * The path with the generation written between folder and file, lowest bit
 * first: "./" is 1 and "/" is 0.  The last one is a 1, so no two are the same.
 */
static void
spell(const char *path)
{
	const char *slash = strrchr(path, '/');
	int			folder = slash ? (int) (slash - path) + 1 : 0;
	char	   *end = spelled + snprintf(spelled, MAXPGPATH, "%.*s", folder, path);

	if (folder == 0 && generation > 0)
		end += sprintf(end, "./");
	for (uint32 left = generation; left > 0; left >>= 1)
		end += sprintf(end, (left & 1) ? "./" : "/");
	strlcpy(end, path + folder, sizeof(spelled) - (end - spelled));
}

/*
 * Look at the file again.  To be called before the first request, and after
 * each reload; warns of a file that can't be read.
 */
void
kgw_ca_file_look(void)
{
	const char *path = meant();
	KgwFileState now;

	if (path == NULL)
		path = "";
	now = state_of(path);
	if (strcmp(path, looked_at) != 0 || !same_state(&now, &seen) ||
		alone != (kgw_settings.ca_file[0] != '\0'))
		generation++;
	strlcpy(looked_at, path, sizeof(looked_at));
	seen = now;
	alone = kgw_settings.ca_file[0] != '\0';
	spell(path);
	if (!now.known && kgw_settings.ca_file[0] != '\0')
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("kgwebhook could not read file \"%s\": %m", path),
				 errdetail("No receiver's certificate can be verified."),
				 errhint("Set \"kgwebhook.ca_file\" to a file that the server may read and reload the configuration.")));
}

/* Another one whenever the last look has found other authorities to be believed. */
uint32
kgw_ca_file_generation(void)
{
	return generation;
}

/*
 * Have a handle believe the authorities as of the last look; the options are libcurl's
 * for a file and a folder of them.  Nothing but the file is believed where one is set, for
 * that is what who sets it means.  libcurl has a folder by default as well, and what is in
 * there would vouch beside the file.  A handle that is in flight at a reload is used again
 * after it, so each option is set, also to what it is by default.  False when there is no
 * memory.
 */
bool
kgw_ca_file_trust(CURL *easy, CURLoption file, CURLoption folder)
{
	const char *capath = alone ? NULL : curl_version_info(CURLVERSION_NOW)->capath;

	/* with another TLS library there may be no such folder, which is no matter */
	return curl_easy_setopt(easy, file, spelled[0] != '\0' ? spelled : NULL) != CURLE_OUT_OF_MEMORY &&
		curl_easy_setopt(easy, folder, capath) != CURLE_OUT_OF_MEMORY;
}
