/** The two functions of `node:zlib` (nodejs_compat) that we use; `@types/node` would bring all of Node. */
declare module 'node:zlib' {
  export function deflateRawSync(data: Uint8Array): Uint8Array;
  export function inflateRawSync(data: Uint8Array): Uint8Array;
}
