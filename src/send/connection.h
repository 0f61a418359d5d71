/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  What we know of the sockets that libcurl has, by descriptor.
 *
 * src/send/connection.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_CONNECTION_H
#define KGW_SEND_CONNECTION_H

#include <sys/socket.h>

/* What KgwSocket.registered is when the socket isn't in the epoll set. */
#define KGW_SOCKET_ABSENT (-1)

struct KgwHttpRequest;
struct KgwMulti;

typedef struct KgwSocket
{
	signed char registered;		/* in the epoll set for these CURL_POLL_* */
	signed char wanted;			/* by libcurl; 0 = the connection is idle */
	bool		ours;			/* a request's, and not of libcurl's own */
	bool		doubtful;		/* a connection like it was found dead */
	int			patience;		/* TCP_USER_TIMEOUT as it was set, milliseconds */
	struct KgwHttpRequest *asker;	/* waits for its connection's first answer */
	struct KgwMulti *multi;		/* whose it is */

	/* of its connection, noted when it is first idle; port 0 = not yet */
	unsigned short local_port;
	int			same_port;		/* the next socket of that port, plus one; 0 = none */
	struct sockaddr_storage peer;
} KgwSocket;

extern KgwSocket *kgw_connection_callback(int fd);
extern bool kgw_connection_opened(int fd);
extern void kgw_connection_closed(int fd);
extern void kgw_connection_idle(int fd);
extern int	kgw_connection_find(const struct sockaddr *remote, int remote_port, int local_port);
extern bool kgw_connection_is_silent(int fd);
extern void kgw_connection_doubt(const struct sockaddr_storage *peer);
extern void kgw_connection_be_patient(int fd, int milliseconds);
extern uint64 kgw_connection_received(int fd);

#endif							/* KGW_SEND_CONNECTION_H */
