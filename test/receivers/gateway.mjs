// gateway.mjs: a merchants' gateway, as docs/merchants.md describes one: HTTP on one side,
// SQL functions and views on the other, and nothing of kgwebhook's in between.
//
// It authenticates by a JWT (HS256), sets its role and the organization of the token in the
// request's transaction, and calls what the role may call.  PostgreSQL's errors are the answers.
//
//   POST /rpc/kg_explain {"delivery_id": 7}    a function, with named arguments; rows as JSON
//   GET /deliveries?state=retrying             a view or table of the schema kgwebhook
//
// Options: --port-file FILE --host SOCKETS --port PORT --role NAME --key SECRET
import { createHmac, timingSafeEqual } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import express from 'express';
import pg from 'pg';

const { values: options } = parseArgs({
  options: {
    'port-file': { type: 'string' },
    host: { type: 'string' },
    port: { type: 'string' },
    role: { type: 'string' },
    key: { type: 'string' },
  },
});
const pool = new pg.Pool({ host: options.host, port: Number(options.port), user: 'authenticator', database: 'postgres', max: 4 });
const NAME = /^[a-z_]{1,63}$/;

/* The claims of a token that this gateway's issuer has signed, and only so; else null. */
function claimsOf(header) {
  const [, head, payload, signature] = /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(header ?? '') ?? [];
  if (!signature)
    return null;
  const expected = createHmac('sha256', options.key).update(`${head}.${payload}`).digest();
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected) ||
      JSON.parse(Buffer.from(head, 'base64url')).alg !== 'HS256')
    return null;
  return JSON.parse(Buffer.from(payload, 'base64url'));
}

/* Runs one statement for the token's organization, in a transaction of its own. */
async function query(claims, text, values) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query(`SET LOCAL ROLE ${pg.escapeIdentifier(options.role)}`);
    await client.query("SELECT set_config('kgwebhook.org_id', $1, true)", [String(claims.org_id ?? '')]);
    const result = await client.query(text, values);
    await client.query('COMMIT');
    return result.rows;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

const app = express();
app.use(express.json());
app.use((request, response, next) => {
  request.claims = claimsOf(request.get('authorization'));
  if (request.claims === null)
    return response.status(401).json({ message: 'not authenticated' });
  next();
});

app.post('/rpc/:name', async (request, response) => {
  const names = Object.keys(request.body ?? {});
  if (![request.params.name, ...names].every((name) => NAME.test(name)))
    return response.status(404).json({ message: 'no such function' });
  const list = names.map((name, i) => `${name} => $${i + 1}`).join(', ');
  response.json(await query(request.claims, `SELECT * FROM public.${request.params.name}(${list}) AS result`,
    names.map((name) => request.body[name])));
});

app.get('/:view', async (request, response) => {
  const columns = Object.keys(request.query);
  if (![request.params.view, ...columns].every((name) => NAME.test(name)))
    return response.status(404).json({ message: 'no such view' });
  const where = columns.map((column, i) => `${column}::text = $${i + 1}`).join(' AND ') || 'true';
  response.json(await query(request.claims, `SELECT * FROM kgwebhook.${request.params.view} WHERE ${where}`,
    columns.map((column) => String(request.query[column]))));
});

app.use((error, request, response, next) => {
  response.status(error.code === '42501' ? 403 : error.code === 'P0002' ? 404 : 400)
    .json({ code: error.code, message: error.message, detail: error.detail, hint: error.hint });
});

const server = app.listen(0, '127.0.0.1', () => {
  writeFileSync(`${options['port-file']}.new`, `${server.address().port}\n`);
  renameSync(`${options['port-file']}.new`, options['port-file']);
});
