import { describe, expect, it } from 'vitest';
import { seal, unseal } from '../../src/signing/sealing.ts';

const key = (byte: number) => new Uint8Array(32).fill(byte);
const OWNER = 'customer/kid';
const SECRET = 'the private half of a signing key';

const old = { keyEncryptionKey: key(1) };
const both = { keyEncryptionKey: key(2), keyEncryptionKeyPrevious: key(1) };

async function failureOf(opening: Promise<string>): Promise<Error> {
  const outcome = await opening.catch((error: unknown) => error);
  if (outcome instanceof Error) return outcome;
  throw new Error('it opened');
}

describe('a sealed text', () => {
  it('a sealed text opens under the key that sealed it', async () => {
    expect(await unseal(old, OWNER, await seal(old, OWNER, SECRET))).toBe(SECRET);
  });

  it('a sealed text opens under the previous key while that is configured', async () => {
    expect(await unseal(both, OWNER, await seal(old, OWNER, SECRET))).toBe(SECRET);
  });

  it('a text is sealed under the current key, not under the previous one', async () => {
    const sealed = await seal(both, OWNER, SECRET);
    expect(await unseal({ keyEncryptionKey: key(2) }, OWNER, sealed)).toBe(SECRET);
    expect((await failureOf(unseal(old, OWNER, sealed))).message).toContain('KEY_ENCRYPTION_KEY_PREVIOUS');
  });

  it('any text can be sealed, and the result is never the same twice', async () => {
    const text = 'ключ 🔑\u0000';
    const [one, other] = [await seal(old, OWNER, text), await seal(old, OWNER, text)];
    expect(one).not.toBe(other);
    expect(await unseal(old, OWNER, other)).toBe(text);
  });

  it('a sealed text shows neither the text nor the key', async () => {
    const sealed = await seal(old, OWNER, SECRET);
    const shown = sealed.split('.').map((part) => atob(part.replaceAll('-', '+').replaceAll('_', '/')));
    expect(shown.join()).not.toContain('private');
    expect(shown.join()).not.toContain(String.fromCharCode(1).repeat(8));
  });

  it('a sealed text does not open under an unknown key', async () => {
    const sealed = await seal(old, OWNER, SECRET);
    await failureOf(unseal({ keyEncryptionKey: key(3), keyEncryptionKeyPrevious: key(4) }, OWNER, sealed));
  });

  it('a sealed text does not open for another owner', async () => {
    const sealed = await seal(old, OWNER, SECRET);
    expect((await failureOf(unseal(old, 'customer/other', sealed))).message).toContain('another owner');
  });

  it('a sealed text does not open for another owner with that owner written into its header', async () => {
    const [, ...rest] = (await seal(old, OWNER, SECRET)).split('.');
    const [foreign] = (await seal(old, 'customer/other', SECRET)).split('.');
    await failureOf(unseal(old, 'customer/other', [foreign, ...rest].join('.')));
  });

  it('a sealed text does not open when any part of it is altered', async () => {
    const parts = (await seal(old, OWNER, SECRET)).split('.');
    for (const [index, part] of parts.entries()) {
      if (part === '') continue;
      const altered = parts.with(index, (part.startsWith('A') ? 'B' : 'A') + part.slice(1)).join('.');
      await failureOf(unseal(old, OWNER, altered));
    }
    for (const nonsense of ['', 'nonsense', '....', parts.slice(0, 4).join('.')]) {
      await failureOf(unseal(old, OWNER, nonsense));
    }
  });

  it('the error of a sealed text that does not open contains no secret', async () => {
    const sealed = await seal(old, OWNER, SECRET);
    const parts = sealed.split('.');
    const [, , iv = '', ciphertext = ''] = parts;
    const altered = parts.with(2, (iv.startsWith('A') ? 'B' : 'A') + iv.slice(1)).join('.');
    const failures = [
      await failureOf(unseal({ keyEncryptionKey: key(3) }, OWNER, sealed)),
      await failureOf(unseal(old, 'customer/other', sealed)),
      await failureOf(unseal(old, OWNER, altered)),
    ];
    for (const { message, stack = '', cause } of failures) {
      const shown = `${message} ${stack} ${String(cause)}`;
      for (const secret of [SECRET, ciphertext, btoa(String.fromCharCode(3).repeat(32)), '3,3,3']) {
        expect(shown).not.toContain(secret);
      }
    }
  });
});
