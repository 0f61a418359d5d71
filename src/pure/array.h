/*-------------------------------------------------------------------------
 *
 * array.h
 *	  How many elements an array has: PostgreSQL's lengthof(), without PostgreSQL.
 *
 * src/pure/array.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_PURE_ARRAY_H
#define KGW_PURE_ARRAY_H

#define KGW_LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

#endif							/* KGW_PURE_ARRAY_H */
