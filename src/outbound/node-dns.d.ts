/** The two functions of `node:dns/promises` (nodejs_compat) that we use; `@types/node` would bring all of Node. */
declare module 'node:dns/promises' {
  export function resolve4(hostname: string): Promise<string[]>;
  export function resolve6(hostname: string): Promise<string[]>;
}
