/*-------------------------------------------------------------------------
 *
 * socket.h
 *	  What we know of the sockets that libcurl has, by descriptor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SOCKET_H
#define KGW_SOCKET_H

#include <sys/socket.h>

/* What KgwSocket.registered is when the socket isn't in the epoll set. */
#define KGW_SOCKET_ABSENT (-1)

struct KgwTransfer;

typedef struct KgwSocket
{
	signed char registered;		/* in the epoll set for these CURL_POLL_* */
	signed char wanted;			/* by libcurl; 0 = the connection is idle */
	bool		ours;			/* a request's, and not of libcurl's own */
	bool		doubtful;		/* a connection like it was found dead */
	int			patience;		/* TCP_USER_TIMEOUT as it was set, milliseconds */
	struct KgwTransfer *asker;	/* waits for its connection's first answer */


	/* of its connection, noted when it is first idle; port 0 = not yet */
	unsigned short local_port;
	struct sockaddr_storage peer;
} KgwSocket;

extern KgwSocket *kgw_socket(int fd);
extern bool kgw_socket_opened(int fd);
extern void kgw_socket_closed(int fd);
extern void kgw_socket_idle(int fd);
extern int	kgw_socket_find(const struct sockaddr *remote, int remote_port, int local_port);
extern bool kgw_socket_is_silent(int fd);
extern void kgw_socket_doubt(const struct sockaddr_storage *peer);
extern void kgw_socket_be_patient(int fd, int milliseconds);
extern uint64 kgw_socket_received(int fd);

#endif							/* KGW_SOCKET_H */
