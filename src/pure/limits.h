/*-------------------------------------------------------------------------
 *
 * limits.h
 *	  Limits of the contract that concern more than one folder.
 *
 * src/pure/limits.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_LIMITS_H
#define KGW_PURE_LIMITS_H

/* Longest identifier of an organization, in bytes. */
#define KGW_ORG_ID_MAX 255

#endif							/* KGW_PURE_LIMITS_H */
