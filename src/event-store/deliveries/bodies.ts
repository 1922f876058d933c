/**
 * The SETs of deliveries that have a row each: table `bodies`. A SET is written once and never changes, while the row of its
 * delivery changes with each attempt, so it is not in that row.
 *
 * SQLite keeps at most a quarter of a page of a row that has no rowid, and gives the rest a page of its own, 4 KB. This table has
 * rowids: several bodies share a page. A SET that its parts make again byte for byte is stored as bytes: its signature, then
 * header and payload, compressed. Any other text is stored as it is (docs/decisions/0026-what-waits-is-small.md).
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { setText, signingInput } from '../../domain/security-event-token.ts';
import type { StoreDatabase } from '../database.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const BASE64URL = { alphabet: 'base64url', omitPadding: true } as const;
/** The length of the signature comes first, in two bytes. */
const LENGTH_BYTES = 2;

export class Bodies {
  readonly #database: StoreDatabase;

  constructor(database: StoreDatabase) {
    this.#database = database;
  }

  /** @returns the number of the new body */
  add(set: string): number {
    const last = this.#database.first<{ number: number | null }>('SELECT max(number) AS number FROM bodies');
    const number = (last?.number ?? 0) + 1;
    this.#database.run('INSERT INTO bodies (number, token) VALUES (?, ?)', number, packSet(set));
    return number;
  }

  /** The SETs of these bodies, by number. */
  find(numbers: readonly number[]): Map<number, string> {
    if (numbers.length === 0) return new Map();
    const rows = this.#database.rows<{ number: number; token: ArrayBuffer | string }>(
      'SELECT number, token FROM bodies WHERE number IN (SELECT value FROM json_each(?))',
      JSON.stringify(numbers),
    );
    return new Map(rows.map(({ number, token }) => [number, unpackSet(token)]));
  }

  delete(numbers: readonly number[]): void {
    if (numbers.length === 0) return;
    this.#database.run(
      'DELETE FROM bodies WHERE number IN (SELECT value FROM json_each(?))',
      JSON.stringify(numbers),
    );
  }
}

/** A SET as a row keeps it. */
export function packSet(set: string): Uint8Array | string {
  return setBytes(set) ?? set;
}

/** The SET of a row. */
export function unpackSet(packed: ArrayBuffer | string): string {
  return typeof packed === 'string' ? packed : setOfBytes(packed);
}

/** A SET as bytes, signed or not; `undefined` when the bytes would not make the same text again. */
export function setBytes(set: string): Uint8Array | undefined {
  const text = setText(set);
  if (text === undefined || text.header.includes('\n')) return undefined;
  const signature = bytesOf(set.slice(set.lastIndexOf('.') + 1));
  if (signature === undefined || signature.length >= 2 ** 16) return undefined;
  const rest = deflateRawSync(encoder.encode(`${text.header}\n${text.payload}`));
  const bytes = new Uint8Array(LENGTH_BYTES + signature.length + rest.length);
  new DataView(bytes.buffer).setUint16(0, signature.length);
  bytes.set(signature, LENGTH_BYTES);
  bytes.set(rest, LENGTH_BYTES + signature.length);
  return bytes;
}

/** The SET of `setBytes`. */
export function setOfBytes(stored: ArrayBuffer): string {
  const bytes = new Uint8Array(stored);
  const end = LENGTH_BYTES + new DataView(bytes.buffer).getUint16(0);
  const text = decoder.decode(inflateRawSync(bytes.subarray(end)));
  const line = text.indexOf('\n');
  const input = signingInput({ header: text.slice(0, line), payload: text.slice(line + 1) });
  return `${input}.${bytes.subarray(LENGTH_BYTES, end).toBase64(BASE64URL)}`;
}

/** The bytes of a part of a SET; `undefined` when they would not make the same text again. */
function bytesOf(part: string): Uint8Array | undefined {
  try {
    const bytes = Uint8Array.fromBase64(part, BASE64URL);
    return bytes.toBase64(BASE64URL) === part ? bytes : undefined;
  } catch {
    return undefined;
  }
}
