/** Whether a scope permits a call (contract 2), to leave out the buttons of calls that would be refused. The service decides. */

/** @param path what follows `/{CID}/`, such as `webhooks/subscriptions/{SID}` */
export function permits(scope: string, method: string, path: string): boolean {
  return scope.split(' ').some((one) => {
    const [allowed = '', glob = ''] = one.split(/:(.*)/s);
    return (allowed === '*' || allowed === method) && fits(glob.split('/'), path.split('/'));
  });
}

function fits(glob: readonly string[], path: readonly string[]): boolean {
  const [part, ...rest] = glob;
  if (part === undefined) return path.length === 0;
  if (part === '**') return fits(rest, path) || (path.length > 0 && fits(glob, path.slice(1)));
  return path.length > 0 && (part === '*' || part === path[0]) && fits(rest, path.slice(1));
}
