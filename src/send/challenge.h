/*-------------------------------------------------------------------------
 *
 * challenge.h
 *	  What a challenge asks for, and whether an answer returns it.
 *
 * src/send/challenge.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SEND_CHALLENGE_H
#define KGW_SEND_CHALLENGE_H

/* 64 hexadecimal digits, and the NUL */
#define KGW_CHALLENGE_SIZE 65

/* Bytes of an answer that have to be kept to judge it; as long as that is none that returns it. */
#define KGW_CHALLENGE_ROOM 512

extern bool kgw_challenge_draw(char challenge[KGW_CHALLENGE_SIZE]);
extern bool kgw_challenge_is_returned(const char *challenge, const char *body, size_t len);

#endif							/* KGW_SEND_CHALLENGE_H */
