/*-------------------------------------------------------------------------
 *
 * statement_redaction.h
 *	  Handling a secret without a word of it in log or activity.
 *
 * src/secrets/statement_redaction.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KGW_SECRETS_STATEMENT_REDACTION_H
#define KGW_SECRETS_STATEMENT_REDACTION_H

typedef struct KgwDiscretion
{
	ErrorContextCallback *context;
	int			guc_level;
} KgwDiscretion;

extern void kgw_statement_redaction_begin(KgwDiscretion *discretion, const char *statement);
extern void kgw_statement_redaction_end(KgwDiscretion *discretion);
extern const char *kgw_statement_redaction_recorder(void);

#endif							/* KGW_SECRETS_STATEMENT_REDACTION_H */
