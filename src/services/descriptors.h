/*-------------------------------------------------------------------------
 *
 * descriptors.h
 *	  How many sockets this process can have.
 *
 * src/services/descriptors.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_DESCRIPTORS_H
#define KGW_DESCRIPTORS_H

extern int	kgw_descriptors_for(int wanted);

#endif							/* KGW_DESCRIPTORS_H */
