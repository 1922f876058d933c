/** Imports clients with their ids and secrets (contract 10.2), so that programs keep their credentials. No secret is ever shown. */
import { type OperatorClient, WebhooksError } from '@identity-webhooks/client';
import { all, readStdinOrPrivateFile } from '../command.ts';
import { usage } from '../failure.ts';
import type { Session } from '../session.ts';

export interface OldClient {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly name: string;
  readonly scope: string | undefined;
}

export interface ClientDone {
  readonly clientId: string;
  readonly result: 'create' | 'created' | 'kept' | 'refused' | 'not reached';
  readonly note: string;
}

const FORM =
  'It is a JSON array: [{"clientId": "…", "clientSecret": "…", "name": "…", "scope": "…"}]; name and scope may be left out.';

/** @throws Failure when others may read the file, or it is not of this form; no message quotes the text */
export async function readClients(session: Session, file: string): Promise<OldClient[]> {
  const text = await readStdinOrPrivateFile(session, file);
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw usage('The list of clients is not JSON.', FORM);
  }
  if (!Array.isArray(list)) throw usage('The list of clients is not an array.', FORM);
  return list.map((item: unknown, index) => {
    const { clientId, clientSecret, name = clientId, scope } = (item ?? {}) as Record<string, unknown>;
    if (typeof clientId !== 'string' || typeof clientSecret !== 'string' || typeof name !== 'string') {
      throw usage(`The client ${index + 1} of the list has no clientId or no clientSecret.`, FORM);
    }
    return { clientId, clientSecret, name, scope: typeof scope === 'string' ? scope : undefined };
  });
}

/** @returns what was done with each, and the error that ended it early. A repeat makes nothing twice: the id is the key */
export async function importClients(
  session: Session,
  operator: OperatorClient,
  clients: readonly OldClient[],
  { cid, dryRun }: { readonly cid: string; readonly dryRun: boolean },
): Promise<{ readonly done: ClientDone[]; readonly error: unknown }> {
  const existing = new Set(
    (await all(operator.items('listClients', { cid }))).map(({ clientId }) => clientId),
  );
  const done: ClientDone[] = [];
  let error: unknown;
  for (const client of clients) {
    const { clientId } = client;
    session.progress(`${done.length} of ${clients.length} clients …`);
    if (error !== undefined) {
      done.push({ clientId, result: 'not reached', note: '' });
      continue;
    }
    try {
      done.push(
        await importClient(session, operator, client, { cid, dryRun, exists: existing.has(clientId) }),
      );
      existing.add(clientId);
    } catch (reason) {
      error = reason;
      done.push({ clientId, result: 'not reached', note: '' });
    }
  }
  return { done, error };
}

async function importClient(
  session: Session,
  operator: OperatorClient,
  client: OldClient,
  { cid, dryRun, exists }: { readonly cid: string; readonly dryRun: boolean; readonly exists: boolean },
): Promise<ClientDone> {
  const { clientId, clientSecret, name, scope } = client;
  if (exists) {
    return (await works(session, cid, client))
      ? { clientId, result: 'kept', note: '' }
      : { clientId, result: 'refused', note: 'exists here with another secret' };
  }
  const reason = reasonAgainst(client);
  if (reason !== undefined) return { clientId, result: 'refused', note: reason };
  if (dryRun) return { clientId, result: 'create', note: '' };
  const body = { name, clientId, clientSecret, ...(scope === undefined ? {} : { scope }) };
  try {
    await operator.call('createClient', { cid, body });
    return { clientId, result: 'created', note: '' };
  } catch (error) {
    if (!(error instanceof WebhooksError) || error.trouble.kind !== 'invalid') throw error;
    return {
      clientId,
      result: 'refused',
      note: error.trouble.faults.map((fault) => `${fault.name} ${fault.reason}`).join('; '),
    };
  }
}

/** The rules of contract 10.2. */
function reasonAgainst({ clientId, clientSecret }: OldClient): string | undefined {
  if (!/^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,64}$/.test(clientId))
    return 'a client id has 1 to 64 of A-Z a-z 0-9 . _ ~ -';
  return /^[\x21-\x7e]{32,255}$/.test(clientSecret)
    ? undefined
    : `its secret has ${clientSecret.length} characters: here it has 32 to 255 printable ones without spaces, so the client needs a new one`;
}

/** Whether the client of the service has this secret: only an access token shows it. */
async function works(
  session: Session,
  cid: string,
  { clientId, clientSecret, scope }: OldClient,
): Promise<boolean> {
  const { caller } = session;
  try {
    await session
      .customerOf({ ...session.settings, customer: cid, clientId, clientSecret, scope })
      .checkCredentials();
    return true;
  } catch (error) {
    if (!(error instanceof WebhooksError)) throw error;
    // The scope is judged after the secret (contract 2).
    if (error.trouble.kind === 'invalid') return true;
    if (error.trouble.kind === 'credentials') return false;
    throw error;
  } finally {
    session.caller = caller;
  }
}
